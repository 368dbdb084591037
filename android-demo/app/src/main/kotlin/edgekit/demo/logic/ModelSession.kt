package edgekit.demo.logic

import edgekit.core.Artifact
import edgekit.core.Enhancer
import edgekit.core.ImageContract
import edgekit.core.ModelFailed
import edgekit.core.PictureEnhancer
import edgekit.core.PictureSink
import edgekit.core.PictureSource
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.job
import kotlinx.coroutines.withContext
import java.util.concurrent.Executors
import java.util.concurrent.RejectedExecutionException

/**
 * A model file and the one thread that it lives on: opened there on first use, run there, closed there. `open` raises EnhancerException or LinkageError (the
 * runtime's native library is missing).
 */
class ModelSession(
    val artifact: Artifact,
    private val image: ImageContract,
    private val open: () -> Enhancer,
) : AutoCloseable {
    private val executor = Executors.newSingleThreadExecutor { work -> Thread(work, "model ${artifact.name}") }
    private val dispatcher = executor.asCoroutineDispatcher()

    // Both only ever touched on the executor's thread.
    private var enhancer: Enhancer? = null
    private var pictures: PictureEnhancer? = null

    /** Bytes that [enhance] holds for a picture of this width, beside its source and sink. Opens the file if that has not been done. */
    suspend fun workingBytes(): (Int) -> Long = onThread { pictures().let { it::workingBytes } }

    /** Enhances on the model's thread; cancelled between two tiles when the caller is. */
    suspend fun enhance(
        source: PictureSource,
        sink: PictureSink,
        progress: (Int, Int) -> Unit = { _, _ -> },
    ) = onThread { isCancelled -> pictures().enhance(source, sink, isCancelled, progress) }

    /** Returns at once; a run that is under way ends first. */
    override fun close() {
        try {
            executor.execute {
                pictures = null
                enhancer?.close()
                enhancer = null
            }
        } catch (_: RejectedExecutionException) {
            return // closed before
        }
        executor.shutdown()
    }

    private suspend fun <T> onThread(work: (isCancelled: () -> Boolean) -> T): T =
        withContext(dispatcher) {
            val job = coroutineContext.job
            try {
                work { !job.isActive }
            } catch (error: LinkageError) {
                throw ModelFailed("${artifact.file}: its runtime's native library is missing or not for this phone (${error.message})", error)
            }
        }

    private fun pictures(): PictureEnhancer =
        pictures ?: PictureEnhancer(enhancer ?: open().also { enhancer = it }, artifact, image).also { pictures = it }
}
