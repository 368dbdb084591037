package edgekit.core

/**
 * Enhances pictures of any size with a model file of fixed input size, one row of tiles at a time: memory is bounded by the picture's width. Keeps its buffers:
 * one input, one output, one band in and one out. One call at a time, from the [Enhancer]'s thread. Raises [InvalidManifest] for a contract it cannot fulfil.
 */
class PictureEnhancer(
    private val enhancer: Enhancer,
    artifact: Artifact,
    private val image: ImageContract,
) {
    fun interface Progress {
        /** After each tile. What it throws ends the work (a coroutine's ensureActive() does). */
        fun tileDone(
            done: Int,
            total: Int,
        )
    }

    /** Bytes that [enhance] keeps for a picture of this width, without those of the source, the sink and the runtime. */
    fun workingBytes(width: Int): Long = TODO()

    /**
     * Gives `sink` the enhanced `source`, `scale` times as high and wide, top to bottom. `cancelled` is asked before each tile. Raises [ModelFailed] if the model
     * cannot run or gives values that are not finite, CancellationException (java.util.concurrent, which is that of coroutines) if cancelled.
     */
    fun enhance(
        source: PictureSource,
        sink: PictureSink,
        cancelled: () -> Boolean = { false },
        progress: Progress = Progress { _, _ -> },
    ): Unit = TODO()
}
