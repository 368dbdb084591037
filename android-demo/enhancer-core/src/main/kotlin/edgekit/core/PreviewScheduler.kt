package edgekit.core

/** Android's PowerManager thermal states. The preview's rate is the goal divided by `slower`; null pauses it. */
enum class ThermalState(
    internal val slower: Int?,
) {
    NONE(1),
    LIGHT(1),
    MODERATE(2),
    SEVERE(6),
    CRITICAL(null),
    EMERGENCY(null),
    SHUTDOWN(null),
}

/** What to do after an event. */
sealed class Decision<out F> {
    /** Give this frame to the model now. */
    data class Start<F>(
        val frame: F,
    ) : Decision<F>()

    /** The frame waits for the model, or for its time. */
    object Wait : Decision<Nothing>()

    /** The frame is not used. */
    object Skip : Decision<Nothing>()

    /** Nothing is to be started. */
    object Idle : Decision<Nothing>()
}

/** `fps`: results shown in the last 1000 ms. `shown` and `dropped`: frames so far. */
data class FrameStats(
    val fps: Int,
    val shown: Int,
    val dropped: Int,
)

/**
 * The live preview keeps the latest frame: one in the model, at most one waiting. The rules stand in tests/fixtures/README.md, scheduler.json.
 *
 * `F` is the app's frame; `drop` is called with each frame that will not be used, so that the app can close it. `nowMs` is a clock that never goes back. All
 * calls are synchronized, `drop` too: the camera's thread and the model's may share it.
 */
class PreviewScheduler<F : Any>(
    val goalFps: Int,
    private val nowMs: () -> Long,
    private val drop: (F) -> Unit = {},
) {
    init {
        require(goalFps >= 1) { "goalFps is $goalFps; expected at least 1" }
    }

    private var state = ThermalState.NONE
    private var lastStartMs: Long? = null
    private var isBusy = false
    private var waiting: F? = null
    private var shown = 0
    private var dropped = 0
    private val shownAtMs = ArrayDeque<Long>()

    /** A frame arrived: Start, Wait or Skip. */
    @Synchronized
    fun frame(frame: F): Decision<F> {
        val isTooSoon = isTooSoon()
        return when {
            paused -> Decision.Skip.also { discard(frame) }
            isBusy || (waiting != null && isTooSoon) -> Decision.Wait.also { replaceWaiting(frame) }
            isTooSoon -> Decision.Skip.also { discard(frame) }
            else -> {
                replaceWaiting(null)
                start(frame)
            }
        }
    }

    /** The frame in the model is ready and shown: Start or Idle. */
    @Synchronized
    fun done(): Decision<F> {
        shown++
        shownAtMs.addLast(nowMs())
        return free()
    }

    /** The frame in the model came to nothing (the model failed, the preview was left): as [done], but dropped. */
    @Synchronized
    fun failed(): Decision<F> {
        dropped++
        return free()
    }

    /** Time passed (a display's refresh, a timer): Start or Idle. */
    @Synchronized
    fun tick(): Decision<F> {
        val frame = waiting
        if (frame == null || isBusy || isTooSoon()) return Decision.Idle
        waiting = null
        return start(frame)
    }

    /** The phone's thermal state changed. */
    @Synchronized
    fun thermal(state: ThermalState) {
        this.state = state
        if (paused) replaceWaiting(null)
    }

    /** The camera stops: a waiting frame is dropped. */
    @Synchronized
    fun clear() = replaceWaiting(null)

    @get:Synchronized
    val stats: FrameStats
        get() {
            val secondAgo = nowMs() - 1000
            while (shownAtMs.isNotEmpty() && shownAtMs.first() <= secondAgo) shownAtMs.removeFirst()
            return FrameStats(shownAtMs.size, shown, dropped)
        }

    /** Whether the thermal state has paused the preview. */
    @get:Synchronized
    val paused: Boolean get() = state.slower == null

    private fun free(): Decision<F> {
        check(isBusy) { "no frame is in the model; expected done or failed once after each Start" }
        isBusy = false
        return tick()
    }

    private fun start(frame: F): Decision<F> {
        isBusy = true
        lastStartMs = nowMs()
        return Decision.Start(frame)
    }

    private fun replaceWaiting(frame: F?) {
        waiting?.let(::discard)
        waiting = frame
    }

    private fun discard(frame: F) {
        dropped++
        drop(frame)
    }

    /** A quarter of the interval early is in time: a camera's jitter at just the goal's rate drops nothing. */
    private fun isTooSoon(): Boolean {
        val last = lastStartMs ?: return false
        val slower = state.slower ?: return true
        val intervalMs = (1000 * slower + goalFps - 1) / goalFps
        return nowMs() - last < intervalMs - intervalMs / 4
    }
}
