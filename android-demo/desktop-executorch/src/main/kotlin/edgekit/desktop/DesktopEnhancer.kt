package edgekit.desktop

import edgekit.core.Enhancer
import edgekit.core.ModelFailed
import java.io.File
import java.nio.ByteBuffer

/** A .pte file in ExecuTorch on this machine. The system property `edgekit.jni` names the library built from desktop_executorch.cpp. Raises [ModelFailed]. */
class DesktopEnhancer(private val file: File) : Enhancer {
    private var handle = failing { open(file.path) }

    override val threads = threadCount()

    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) {
        check(handle != 0L) { "$file is closed" }
        require(input.isDirect && output.isDirect) { "a buffer is not direct; expected direct ones" }
        failing { run(handle, input, output) }
    }

    override fun close() {
        if (handle != 0L) close(handle)
        handle = 0
    }

    private inline fun <T> failing(work: () -> T): T =
        try {
            work()
        } catch (error: IllegalStateException) {
            throw ModelFailed("${file.name}: ${error.message}; expected a file of this bundle", error)
        }

    private companion object {
        init {
            System.load(checkNotNull(System.getProperty("edgekit.jni")) { "set the system property edgekit.jni to the built library" })
        }

        @JvmStatic
        external fun open(path: String): Long

        @JvmStatic
        external fun run(
            handle: Long,
            input: ByteBuffer,
            output: ByteBuffer,
        )

        @JvmStatic
        external fun threadCount(): Int

        @JvmStatic
        external fun close(handle: Long)
    }
}
