package edgekit.tflite

import edgekit.core.Artifact
import edgekit.core.Enhancer
import edgekit.core.ModelFailed
import org.tensorflow.lite.Interpreter
import java.nio.ByteBuffer

/** A .tflite file in LiteRT's interpreter, on the processor (XNNPACK). */
class TfliteEnhancer private constructor(
    private val interpreter: Interpreter,
    private val artifact: Artifact,
    override val threads: Int,
) : Enhancer {
    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) {
        try {
            interpreter.run(whole(input), whole(output))
        } catch (error: RuntimeException) {
            throw ModelFailed("${artifact.file}: LiteRT could not run (${oneLine(error)})", error)
        }
    }

    override fun close() = interpreter.close()

    /** The interpreter moves the position of what it is given. */
    private fun whole(buffer: ByteBuffer): ByteBuffer = buffer.duplicate().order(buffer.order()).apply { clear() }

    companion object {
        const val BACKEND = "tflite"

        /** `model` is the file's bytes in a direct buffer, as mapped from the APK; it must stay as it is while this is open. Raises [ModelFailed], LinkageError. */
        fun open(
            model: ByteBuffer,
            artifact: Artifact,
            threads: Int,
        ): TfliteEnhancer =
            try {
                TfliteEnhancer(Interpreter(model, Interpreter.Options().setNumThreads(threads)), artifact, threads)
            } catch (error: RuntimeException) {
                throw ModelFailed("${artifact.file}: LiteRT could not open it (${oneLine(error)})", error)
            }

        private fun oneLine(error: RuntimeException) = (error.message ?: error.javaClass.simpleName).lineSequence().first()
    }
}
