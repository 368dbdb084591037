package edgekit.executorch

import edgekit.core.Artifact
import edgekit.core.DType
import edgekit.core.Enhancer
import edgekit.core.InvalidManifest
import edgekit.core.ModelFailed
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor
import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder

/** A .pte file in ExecuTorch. The file stays mapped while this is open. */
class ExecuTorchEnhancer private constructor(
    private val module: Module,
    private val artifact: Artifact,
    override val threads: Int,
) : Enhancer {
    private val shape = artifact.input.shape.map(Int::toLong).toLongArray()

    /** ExecuTorch reads the caller's buffer in place, so one tensor serves as long as the buffer stays the same. */
    private var bound: Pair<ByteBuffer, EValue>? = null

    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) {
        val result = failing("run") { module.forward(value(input)) }
        val tensor = result.firstOrNull()?.takeIf { it.isTensor }?.toTensor() ?: throw ModelFailed("${artifact.file}: gave no tensor; expected one")
        val expected = artifact.output.shape
        if (tensor.shape().map(Long::toInt) != expected) {
            throw ModelFailed("${artifact.file}: gave the shape ${tensor.shape().toList()}; expected $expected: file and manifest do not belong together")
        }
        failing("read the result") { copy(tensor, output.duplicate().apply { clear() }) }
    }

    override fun close() {
        bound = null
        module.close()
    }

    private fun value(input: ByteBuffer): EValue {
        bound?.let { (buffer, value) -> if (buffer === input) return value }
        val whole = input.duplicate().order(input.order()).apply { clear() }
        val tensor = if (artifact.input.dtype == DType.UINT8) Tensor.fromBlobUnsigned(whole, shape) else Tensor.fromBlob(whole.asFloatBuffer(), shape)
        return EValue.from(tensor).also { bound = input to it }
    }

    private fun copy(
        from: Tensor,
        to: ByteBuffer,
    ) = if (artifact.output.dtype ==
        DType.UINT8
    ) {
        from.copyDataIntoUnsigned(to)
    } else {
        from.copyDataInto(to.order(ByteOrder.nativeOrder()).asFloatBuffer())
    }

    private inline fun <T> failing(
        what: String,
        work: () -> T,
    ): T =
        try {
            work()
        } catch (error: RuntimeException) {
            throw ModelFailed("${artifact.file}: ExecuTorch could not $what (${oneLine(error)})", error)
        }

    companion object {
        const val BACKEND = "executorch"

        /** `file` must lie in the file system: ExecuTorch maps it, which it cannot do inside an APK. Raises [ModelFailed], [InvalidManifest], LinkageError. */
        fun open(
            file: File,
            artifact: Artifact,
            threads: Int,
        ): ExecuTorchEnhancer {
            for (tensor in listOf(artifact.input, artifact.output)) {
                if (tensor.dtype != DType.FLOAT32 && tensor.dtype != DType.UINT8) {
                    throw InvalidManifest("tensor '${tensor.name}' is ${tensor.dtype}; expected FLOAT32 or UINT8")
                }
            }
            try {
                val module = Module.load(file.path, Module.LOAD_MODE_MMAP, threads)
                try {
                    module.loadMethod("forward")
                } catch (error: RuntimeException) {
                    module.close()
                    throw error
                }
                return ExecuTorchEnhancer(module, artifact, threads)
            } catch (error: RuntimeException) {
                throw ModelFailed("${artifact.file}: ExecuTorch could not open it (${oneLine(error)})", error)
            }
        }

        private fun oneLine(error: RuntimeException) = (error.message ?: error.javaClass.simpleName).lineSequence().first()
    }
}
