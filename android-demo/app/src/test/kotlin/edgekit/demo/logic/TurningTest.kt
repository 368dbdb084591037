package edgekit.demo.logic

import edgekit.core.Orientation
import edgekit.core.RgbPicture
import kotlin.test.Test
import kotlin.test.assertEquals

class TurningTest {
    /** Two rows of three pixels, in one channel: abc / def. */
    private val picture = RgbPicture(2, 3, "abcdef".flatMap { letter -> List(3) { letter.code.toByte() } }.toByteArray())

    private fun turned(tag: Int): String {
        val upright = picture.turned(Turning.ofExif(tag))
        return (0 until upright.height).joinToString("/") { y ->
            (0 until upright.width).joinToString("") { x -> upright.rgb[3 * (y * upright.width + x)].toInt().toChar().toString() }
        }
    }

    /** TIFF 6.0: where the file's first row and column are to be shown. */
    @Test
    fun exifOrientationsAreUndone() {
        val expected =
            mapOf(
                1 to "abc/def", // row 0 at the top, column 0 at the left
                2 to "cba/fed", // top, right
                3 to "fed/cba", // bottom, right
                4 to "def/abc", // bottom, left
                5 to "ad/be/cf", // left, top
                6 to "da/eb/fc", // right, top
                7 to "fc/eb/da", // right, bottom
                8 to "cf/be/ad", // left, bottom
            )
        for ((tag, shown) in expected) assertEquals(shown, turned(tag), "orientation $tag")
    }

    @Test
    fun otherTagsAreUpright() {
        for (tag in listOf(-1, 0, 9)) assertEquals(Orientation.UPRIGHT, Turning.ofExif(tag))
    }

    /** A phone's back sensor is mounted at 90 degrees: upright in the hand it is to be turned by 90, on its side not at all. */
    @Test
    fun aBackCameraIsTurnedAgainstTheDisplay() {
        assertEquals(listOf(90, 0, 270, 180), listOf(0, 90, 180, 270).map { Turning.ofCamera(90, it, false).degrees })
        assertEquals(listOf(90, 0, 270, 180), listOf(0, 90, 180, 270).map { Turning.ofJpeg(90, it, false) })
    }

    @Test
    fun aFrontCameraIsTurnedWithTheDisplayAndMirrored() {
        assertEquals(listOf(270, 0, 90, 180), listOf(0, 90, 180, 270).map { Turning.ofCamera(270, it, true).degrees })
        assertEquals(listOf(true, false), listOf(true, false).map { Turning.ofCamera(270, 0, it).mirror })
    }
}
