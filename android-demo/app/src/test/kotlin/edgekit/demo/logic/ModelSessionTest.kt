package edgekit.demo.logic

import edgekit.core.Enhancer
import edgekit.core.ModelFailed
import edgekit.core.RgbPicture
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import java.nio.ByteBuffer
import java.util.Collections
import java.util.concurrent.CountDownLatch
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ModelSessionTest {
    private val threads: MutableList<String> = Collections.synchronizedList(ArrayList())
    private val closed = CountDownLatch(1)

    /** Gives each byte back inverted. */
    private inner class Inverting(
        private val beforeRun: () -> Unit = {},
    ) : Enhancer {
        override val threads = 1

        override fun run(
            input: ByteBuffer,
            output: ByteBuffer,
        ) {
            beforeRun()
            note()
            for (i in 0 until input.capacity()) output.put(i, (255 - (input.get(i).toInt() and 255)).toByte())
        }

        override fun close() {
            note()
            closed.countDown()
        }
    }

    private fun note() = threads.add(Thread.currentThread().name.substringBefore(" @"))

    private fun session(open: () -> Enhancer) = ModelSession(Samples.artifact(), Samples.image(), open)

    private fun picture() = RgbPicture(20, 13).also { it.rgb.indices.forEach { i -> it.rgb[i] = (i * 7).toByte() } }

    @Test
    fun theModelNeverLeavesItsThread() {
        val session = session { Inverting().also { note() } }
        val (picture, result) = picture() to RgbPicture(20, 13)
        val tiles = ArrayList<Pair<Int, Int>>()
        runBlocking {
            repeat(2) { session.enhance(picture, result) { done, total -> tiles += done to total } }
            assertTrue(session.workingBytes()(13) > 0)
        }
        session.close()
        closed.await()
        assertContentEquals(ByteArray(picture.rgb.size) { (255 - (picture.rgb[it].toInt() and 255)).toByte() }, result.rgb)
        assertEquals(setOf("model sample"), threads.toSet())
        assertEquals(1 + 2 * 12 + 1, threads.size, "opened once, 12 tiles twice, closed once")
        assertEquals(12 to 12, tiles.last())
    }

    @Test
    fun cancellingStopsBetweenTwoTiles() {
        val (inTile, mayGoOn) = CountDownLatch(1) to CountDownLatch(1)
        val session =
            session {
                Inverting {
                    inTile.countDown()
                    mayGoOn.await()
                }
            }
        runBlocking {
            val work = launch(Dispatchers.Default) { session.enhance(picture(), RgbPicture(20, 13)) }
            inTile.await()
            work.cancel()
            mayGoOn.countDown()
            withTimeout(10_000) { work.join() }
        }
        session.close()
        closed.await()
        assertEquals(2, threads.size, "one tile, and the closing")
    }

    @Test
    fun aMissingNativeLibraryIsAFailureOfTheModel() {
        val session = session { throw UnsatisfiedLinkError("no executorch in java.library.path") }
        val error = assertFailsWith<ModelFailed> { runBlocking { session.enhance(picture(), RgbPicture(20, 13)) } }
        assertEquals("sample.file: its runtime's native library is missing or not for this phone (no executorch in java.library.path)", error.message)
        session.close()
    }

    @Test
    fun aClosedSessionIsNotOpenedAgain() {
        val session = session { Inverting() }
        session.close()
        session.close()
        assertFailsWith<CancellationException> { runBlocking { session.enhance(picture(), RgbPicture(20, 13)) } }
    }

    @Test
    fun aSecondPictureWaitsForTheFirst() {
        val session = session { Inverting() }
        runBlocking {
            val results = List(3) { async(start = CoroutineStart.LAZY) { RgbPicture(20, 13).also { session.enhance(picture(), it) } } }
            results.forEach { it.start() }
            for (result in results) assertContentEquals(results[0].await().rgb, result.await().rgb)
        }
        session.close()
        closed.await()
    }
}
