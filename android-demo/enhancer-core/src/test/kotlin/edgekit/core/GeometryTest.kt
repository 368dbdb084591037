package edgekit.core

import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class GeometryTest {
    @Test
    fun picturesAreTurnedAsInTheFixtures() {
        for (case in Fixtures.exact("geometry.json", "rotations")) {
            val picture = RgbPicture(case.key("height").int(1), case.key("width").int(1), case.key("rgb").bytes())
            val turned = picture.turned(Orientation(case.key("degrees").int(0), case.key("mirror").flag()))
            assertEquals(case.key("out_height").int(1) to case.key("out_width").int(1), turned.height to turned.width)
            assertContentEquals(case.key("out_rgb").bytes(), turned.rgb)
        }
    }

    @Test
    fun cropsAreThoseOfTheFixtures() {
        for (case in Fixtures.exact("geometry.json", "crops")) {
            val (aspectWidth, aspectHeight) = case.key("aspect").ints()
            val rect = PixelRect.centred(case.key("height").int(1), case.key("width").int(1), aspectWidth, aspectHeight)
            assertEquals(case.key("rect").ints(), listOf(rect.y, rect.x, rect.height, rect.width))
        }
    }

    @Test
    fun turningFourTimesGivesThePictureBack() {
        val picture = RgbPicture(3, 5, ByteArray(45) { it.toByte() })
        val turned = (1..4).fold(picture) { before, _ -> before.turned(Orientation(90)) }
        assertContentEquals(picture.rgb, turned.rgb)
    }

    @Test
    fun whatIsNoOrientationOrPartIsRefused() {
        assertFailsWith<IllegalArgumentException> { Orientation(45) }
        assertFailsWith<IllegalArgumentException> { Orientation(360) }
        val picture = RgbPicture(2, 3)
        for (region in listOf(PixelRect(0, 0, 3, 1), PixelRect(-1, 0, 1, 1), PixelRect(0, 1, 1, 3), PixelRect(0, 0, 0, 1), PixelRect(0, 1, 1, Int.MAX_VALUE))) {
            assertFailsWith<IllegalArgumentException> { picture.cropped(region) }
        }
        assertFailsWith<IllegalArgumentException> { RgbPicture(2, 3, ByteArray(17)) }
        assertFailsWith<IllegalArgumentException> { RgbPicture(40_000, 40_000) }
    }
}
