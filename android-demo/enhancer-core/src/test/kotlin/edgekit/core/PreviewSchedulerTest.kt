package edgekit.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class PreviewSchedulerTest {
    private var nowMs = 0L
    private val dropped = ArrayList<Long>()

    @Test
    fun eventsGoAsInTheFixtures() {
        for (case in Fixtures.exact("scheduler.json", "cases")) {
            val scheduler = scheduler(case.key("goal_fps").int(1))
            case.key("events").list().forEachIndexed { index, event ->
                nowMs = event.key("at_ms").whole(0)
                val where = "${case.key("name").text()}, event $index at $nowMs ms"
                assertEquals(expected(event), act(scheduler, event), where)
                val stats = FrameStats(event.key("fps").int(0), event.key("shown").int(0), event.key("dropped").int(0))
                assertEquals(stats, scheduler.stats, where)
                assertEquals(stats.dropped, dropped.size, where)
            }
        }
    }

    private fun act(
        scheduler: PreviewScheduler<Long>,
        event: JsonPlace,
    ): Decision<Long> =
        when (val kind = event.key("event").text()) {
            "frame" -> scheduler.frame(event.key("id").whole(0))
            "done" -> scheduler.done()
            "tick" -> scheduler.tick()
            "thermal" -> Decision.Idle.also { scheduler.thermal(event.key("state").oneOf<ThermalState>()) }
            else -> throw IllegalArgumentException("an event '$kind'")
        }

    private fun expected(event: JsonPlace): Decision<Long> =
        when (val then = event.key("then").text()) {
            "start" -> Decision.Start(event.key("id").whole(0))
            "wait" -> Decision.Wait
            "skip" -> Decision.Skip
            "idle", "none" -> Decision.Idle
            else -> throw IllegalArgumentException("then '$then'")
        }

    /** Whatever happens: frames start in order, no faster than allowed, one at a time; each is shown, dropped, in the model or waiting. */
    @Test
    fun nothingIsLostAndNothingStartsTwice() {
        val random = Random(4)
        repeat(100) {
            val scheduler = scheduler(random.nextInt(1, 61))
            val started = ArrayList<Long>()
            var busy = false
            var next = 0L
            repeat(400) {
                nowMs += random.nextLong(0, 60)
                val decision =
                    when (random.nextInt(if (busy) 8 else 6)) {
                        0, 1, 2, 3 -> scheduler.frame(next++)
                        4 -> scheduler.tick()
                        5 -> Decision.Idle.also { scheduler.thermal(ThermalState.values().random(random)) }
                        6 -> scheduler.done().also { busy = false }
                        else -> scheduler.failed().also { busy = false }
                    }
                if (decision is Decision.Start) {
                    assertTrue(!busy && !scheduler.paused)
                    busy = true
                    started += decision.frame
                }
            }
            assertEquals(started.sorted(), started)
            assertEquals(started.distinct(), started)
            assertTrue(started.none { it in dropped })
            scheduler.clear()
            assertEquals(next, started.size.toLong() + dropped.size)
        }
    }

    @Test
    fun aFailedFrameIsNotShown() {
        val scheduler = scheduler(30)
        scheduler.frame(1)
        scheduler.frame(2)
        nowMs += 40
        assertEquals(Decision.Start(2L), scheduler.failed())
        assertEquals(FrameStats(0, 0, 1), scheduler.stats)
    }

    @Test
    fun clearingDropsTheWaitingFrameOnly() {
        val scheduler = scheduler(30)
        scheduler.frame(1)
        scheduler.frame(2)
        scheduler.clear()
        assertEquals(listOf(2L), dropped)
        nowMs += 40
        assertEquals(Decision.Idle, scheduler.done())
        assertEquals(FrameStats(1, 1, 1), scheduler.stats)
    }

    @Test
    fun misuseIsRefused() {
        assertFailsWith<IllegalArgumentException> { scheduler(0) }
        assertFailsWith<IllegalStateException> { scheduler(30).done() }
    }

    private fun scheduler(goalFps: Int): PreviewScheduler<Long> {
        nowMs = 0
        dropped.clear()
        return PreviewScheduler(goalFps, { nowMs }, { dropped += it })
    }
}
