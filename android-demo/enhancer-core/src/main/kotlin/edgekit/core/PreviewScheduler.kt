package edgekit.core

/** Android's PowerManager thermal states (and what Apple's four map to). */
enum class ThermalState { NONE, LIGHT, MODERATE, SEVERE, CRITICAL, EMERGENCY, SHUTDOWN }

/** What to do after an event. */
sealed class Decision<out F> {
    /** Give this frame to the model now. */
    data class Start<F>(
        val frame: F,
    ) : Decision<F>()

    /** The frame waits for the model. */
    object Wait : Decision<Nothing>()

    /** The frame is not used. */
    object Skip : Decision<Nothing>()

    /** The model has nothing to do. */
    object Idle : Decision<Nothing>()
}

/**
 * The live preview keeps the latest frame: one in the model, at most one waiting. `F` is the app's frame; `drop` is called with each frame that will not be used,
 * so that the app can close it. `nowMs` never goes back. All calls are synchronized: the camera's thread and the model's may share it.
 */
class PreviewScheduler<F : Any>(
    val goalFps: Int,
    private val nowMs: () -> Long,
    private val drop: (F) -> Unit = {},
) {
    /** A frame arrived: Start, Wait or Skip. */
    @Synchronized
    fun frame(frame: F): Decision<F> = TODO()

    /** The frame in the model is ready and shown: Start or Idle. */
    @Synchronized
    fun done(): Decision<F> = TODO()

    /** The model failed on its frame or was stopped, nothing was shown: as [done], but not counted. */
    @Synchronized
    fun failed(): Decision<F> = TODO()

    /** Time passed (a display's refresh, a timer): Start or Idle. */
    @Synchronized
    fun tick(): Decision<F> = TODO()

    /** The phone's thermal state changed. */
    @Synchronized
    fun thermal(state: ThermalState): Unit = TODO()

    /** The preview stops: a waiting frame is dropped. */
    @Synchronized
    fun clear(): Unit = TODO()

    /** Frames shown a second, frames shown and dropped so far. */
    @get:Synchronized
    val stats: FrameStats get() = TODO()

    /** Whether the thermal state has paused the preview. */
    @get:Synchronized
    val paused: Boolean get() = TODO()
}

/** `fps`: results shown in the last 1000 ms. */
data class FrameStats(
    val fps: Int,
    val shown: Int,
    val dropped: Int,
)
