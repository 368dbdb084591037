package edgekit.demo.logic

import edgekit.core.Decision
import edgekit.core.EnhancerException
import edgekit.core.FrameStats
import edgekit.core.PreviewScheduler
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.launch

/**
 * Carries out what the scheduler decides: at most one frame is in `process` at a time. `process` closes its frame, `scheduler`'s drop closes all others.
 * A frame that failed ends nothing but itself; `failed` hears of it. Frames may come from any thread.
 */
class PreviewLoop<F : Any>(
    private val scheduler: PreviewScheduler<F>,
    private val scope: CoroutineScope,
    private val failed: (EnhancerException) -> Unit,
    private val process: suspend (F) -> Unit,
) {
    val stats: FrameStats get() = scheduler.stats
    val isPaused: Boolean get() = scheduler.paused

    fun frame(frame: F) = carryOut(scheduler.frame(frame))

    /** To be called a few times a second: a frame may wait for its time. */
    fun tick() = carryOut(scheduler.tick())

    private fun carryOut(decision: Decision<F>) {
        if (decision !is Decision.Start) return
        // Started at once even in a cancelled scope: whoever was given a frame must close it.
        scope.launch(start = CoroutineStart.UNDISPATCHED) {
            var next: Decision<F> = decision
            while (next is Decision.Start) next = step(next.frame)
        }
    }

    private suspend fun step(frame: F): Decision<F> {
        try {
            process(frame)
        } catch (error: EnhancerException) {
            failed(error)
            return scheduler.failed()
        } catch (error: Throwable) {
            // Cancelled, or broken: nothing more is started.
            scheduler.clear()
            scheduler.failed()
            throw error
        }
        return scheduler.done()
    }
}
