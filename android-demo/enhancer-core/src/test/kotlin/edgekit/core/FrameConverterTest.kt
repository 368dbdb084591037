package edgekit.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class FrameConverterTest {
    private val cases = Fixtures.exact("colour.json", "cases")

    @Test
    fun coefficientsAreThoseOfTheFixtures() {
        val matrices = Fixtures.read("colour.json").key("matrices")
        for (matrix in ColourMatrix.values()) {
            for ((range, factors) in listOf("full" to matrix.full, "video" to matrix.video)) {
                val expected = matrices.key(matrix.name.lowercase()).key(range)
                val found = listOf(factors.y, factors.rv, factors.gu, factors.gv, factors.bu)
                assertEquals(listOf("y", "rv", "gu", "gv", "bu").map { expected.key(it).int(0) }, found)
            }
        }
    }

    @Test
    fun framesAreConvertedAsInTheFixtures() {
        for (case in cases) assertContentEquals(case.key("rgb").bytes(), converter(case).convert(frame(case)).rgb, case.key("name").text())
    }

    /** A region, turned, is the same part of the whole converted picture, turned: converting less is only faster. */
    @Test
    fun regionsAndOrientationsAgreeWithTheWholePicture() {
        val random = Random(3)
        for (case in cases) {
            val frame = frame(case)
            val whole = RgbPicture(frame.height, frame.width, case.key("rgb").bytes())
            repeat(4) {
                val (y, x) = random.nextInt(frame.height) to random.nextInt(frame.width)
                val region = PixelRect(y, x, random.nextInt(1, frame.height - y + 1), random.nextInt(1, frame.width - x + 1))
                val orientation = Orientation(90 * random.nextInt(4), random.nextBoolean())
                val got = converter(case).convert(frame, region, orientation)
                val expected = whole.cropped(region).turned(orientation)
                assertEquals(expected.height to expected.width, got.height to got.width)
                assertContentEquals(expected.rgb, got.rgb, "${case.key("name").text()} $region $orientation")
            }
        }
    }

    @Test
    fun oneConverterTakesFramesOfAnySize() {
        val converter = FrameConverter()
        for (case in cases.filter { it.key("matrix").text() == "bt601" && it.key("range").text() == "full" }) {
            assertContentEquals(case.key("rgb").bytes(), converter.convert(frame(case)).rgb)
        }
    }

    @Test
    fun theBuffersPositionsStay() {
        val frame = frame(cases.first())
        FrameConverter().convert(frame)
        assertEquals(0, frame.planes[0].data.position())
    }

    @Test
    fun planesThatDoNotFitAreRefused() {
        fun frame(
            luma: Int,
            format: FrameFormat = FrameFormat.NV21,
            planes: Int = 2,
        ) = Frame(4, 4, format, List(planes) { Plane(direct(ByteArray(if (it == 0) luma else 8)), 4, if (it == 0) 1 else 2) })
        val converter = FrameConverter()
        converter.convert(frame(16))
        val short = assertFailsWith<IllegalArgumentException> { converter.convert(frame(15)) }
        assertEquals("row 3 needs 16 bytes of a plane of 15; expected planes of the frame's size", short.message)
        assertFailsWith<IllegalArgumentException> { converter.convert(frame(16, planes = 3)) }
        assertFailsWith<IllegalArgumentException> { converter.convert(frame(16, FrameFormat.YUV420)) }
        assertFailsWith<IllegalArgumentException> { converter.convert(frame(16), PixelRect(2, 0, 3, 4)) }
        assertFailsWith<IllegalArgumentException> { converter.convert(frame(16), ByteArray(47)) }
    }

    private fun converter(case: JsonPlace) = FrameConverter(case.key("matrix").oneOf<ColourMatrix>(), case.key("range").oneOf<ColourRange>())

    private fun frame(case: JsonPlace): Frame {
        val planes = case.key("planes").list().map { Plane(direct(it.key("data").bytes()), it.key("row_stride").int(1), it.key("pixel_stride").int(1)) }
        return Frame(case.key("height").int(1), case.key("width").int(1), case.key("format").oneOf<FrameFormat>(), planes)
    }
}
