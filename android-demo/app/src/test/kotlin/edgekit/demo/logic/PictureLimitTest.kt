package edgekit.demo.logic

import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull

class PictureLimitTest {
    private fun sample(
        freeMb: Long,
        height: Int = 3000,
        width: Int = 4000,
        scale: Int = 2,
        workingBytes: Long = 0,
    ) = PictureLimit(freeMb shl 20, scale) { workingBytes }.sampleSize(height, width)

    /** 12 megapixels, twice as high and wide: 4 bytes * 12e6 * (2 + 4) = 275 MB; twice that must be free. */
    @Test
    fun thePictureIsKeptWholeIfTwiceItsNeedIsFree() {
        assertEquals(1, sample(550))
        assertEquals(2, sample(548))
    }

    @Test
    fun lessMemoryTakesAQuarterOfThePixels() {
        assertEquals(2, sample(140))
        assertEquals(4, sample(40))
        assertEquals(16, sample(4))
        assertNull(sample(1))
    }

    @Test
    fun buffersAndScaleCount() {
        assertEquals(2, sample(550, workingBytes = 1 shl 20))
        assertEquals(2, sample(550, scale = 4))
        assertEquals(1, sample(275, scale = 1))
    }

    /** 40000 x 40000 pixels are more than an Int of bytes. */
    @Test
    fun sizesDoNotOverflow() = assertNull(sample(100, 40000, 40000))

    @Test
    fun aTurnedPictureNeedsBuffersForItsLongSide() {
        val asked = ArrayList<Int>()
        PictureLimit(Long.MAX_VALUE, 2) { width -> 0L.also { asked += width } }.sampleSize(4000, 3000)
        assertEquals(listOf(4000), asked)
    }
}
