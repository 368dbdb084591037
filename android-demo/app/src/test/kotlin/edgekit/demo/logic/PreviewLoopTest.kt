package edgekit.demo.logic

import edgekit.core.ModelFailed
import edgekit.core.PreviewScheduler
import edgekit.core.ThermalState
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancel
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.yield
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertTrue

class PreviewLoopTest {
    private var nowMs = 0L
    private val closed = ArrayList<String>()
    private val failures = ArrayList<String>()
    private val inModel = LinkedHashMap<String, CompletableDeferred<Unit>>()

    /** 10 frames a second; `process` takes until the test completes the frame. */
    private fun loop(scope: CoroutineScope): Pair<PreviewLoop<String>, PreviewScheduler<String>> {
        val scheduler = PreviewScheduler<String>(10, { nowMs }) { closed += it }
        val loop =
            PreviewLoop(scheduler, scope, { failures += it.message.orEmpty() }) { frame ->
                try {
                    CompletableDeferred<Unit>().also { inModel[frame] = it }.await()
                } finally {
                    closed += frame
                }
            }
        return loop to scheduler
    }

    @Test
    fun oneFrameIsInTheModelAndTheLatestWaits() =
        runBlocking {
            val (loop, _) = loop(this)
            listOf("a", "b", "c").forEach { loop.frame(it) }
            assertEquals(setOf("a"), inModel.keys.toSet())
            assertEquals(listOf("b"), closed)
            nowMs = 200
            inModel.getValue("a").complete(Unit)
            while ("c" !in inModel) yield()
            inModel.getValue("c").complete(Unit)
            while (loop.stats.shown < 2) yield()
            assertEquals(listOf("b", "a", "c"), closed)
            assertEquals(1, loop.stats.dropped)
        }

    @Test
    fun aWaitingFrameStartsWithATick() =
        runBlocking {
            val (loop, _) = loop(this)
            loop.frame("a")
            loop.frame("b")
            inModel.getValue("a").complete(Unit)
            while (loop.stats.shown < 1) yield()
            assertTrue("b" !in inModel, "too soon")
            nowMs = 100
            loop.tick()
            assertTrue("b" in inModel)
            inModel.getValue("b").complete(Unit)
        }

    @Test
    fun aFrameThatFailsEndsNothingButItself() =
        runBlocking {
            val (loop, _) = loop(this)
            loop.frame("a")
            inModel.getValue("a").completeExceptionally(ModelFailed("no memory"))
            while (failures.isEmpty()) yield()
            nowMs = 100
            loop.frame("b")
            inModel.getValue("b").complete(Unit)
            while (loop.stats.shown < 1) yield()
            assertEquals(listOf("no memory"), failures)
            assertEquals(1, loop.stats.dropped)
            assertEquals(listOf("a", "b"), closed)
        }

    @Test
    fun everyFrameIsClosedWhenTheScreenIsLeft() =
        runBlocking {
            val scope = CoroutineScope(coroutineContext + Job())
            val (loop, scheduler) = loop(scope)
            loop.frame("a")
            loop.frame("b")
            scope.cancel()
            while (closed.size < 2) yield()
            nowMs = 500
            loop.frame("c") // the camera's thread was just about to give it
            while (closed.size < 3) yield()
            scheduler.clear()
            assertEquals(setOf("a", "b", "c"), closed.toSet())
            assertEquals(3, closed.size)
            assertEquals(0, loop.stats.shown)
        }

    @Test
    fun aHotPhonePausesThePreview() =
        runBlocking {
            val (loop, scheduler) = loop(this)
            scheduler.thermal(ThermalState.CRITICAL)
            loop.frame("a")
            assertTrue(loop.isPaused && inModel.isEmpty())
            assertEquals(listOf("a"), closed)
            scheduler.thermal(ThermalState.MODERATE)
            loop.frame("b")
            assertEquals(setOf("b"), inModel.keys.toSet())
            inModel.getValue("b").complete(Unit)
            Unit
        }
}
