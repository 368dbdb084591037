package edgekit.core

import java.nio.ByteBuffer

/**
 * An opened model file. One call at a time, always from the thread that opened it; runtimes promise no more than that.
 *
 * The buffers are direct, in native byte order, and hold exactly the bytes of the artifact's input and output tensor; `run` reads and writes them from 0 to
 * capacity and leaves positions and limits as they are. Raises [ModelFailed].
 */
interface Enhancer : AutoCloseable {
    /** Threads that a run uses; null if the runtime does not tell. */
    val threads: Int?

    fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    )

    override fun close()
}
