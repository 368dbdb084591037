package edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class PixelCodecTest {
    @Test
    fun bytesBecomeTheTensorsOfTheFixtures() {
        for (case in Fixtures.exact("pixels.json", "cases")) {
            val codec = codec(case)
            codec.encode(case.key("rgb").bytes(), IntArray(codec.height) { 3 * it * codec.width }, IntArray(codec.width) { 3 * it })
            assertContentEquals(case.key("tensor").bytes(), contents(codec.buffer, isFloat(case)))
        }
    }

    @Test
    fun tensorsBecomeTheBytesOfTheFixtures() {
        for (case in Fixtures.exact("pixels.json", "back")) {
            val codec = codec(case)
            fill(codec.buffer, case.key("tensor").bytes(), isFloat(case))
            val rgb = ByteArray(3 * codec.height * codec.width)
            val isFinite = codec.decode(PixelRect(0, 0, codec.height, codec.width), rgb, 0, 3 * codec.width)
            assertContentEquals(case.key("rgb").bytes(), rgb)
            assertEquals(!isFloat(case) || case.key("tensor").floats().all { it.isFinite() }, isFinite)
        }
    }

    /** Rows and columns in any order, a rectangle of the result into the middle of a larger picture: what tiles need. */
    @Test
    fun partsLandWhereTheyBelong() {
        for (layout in Layout.values()) {
            for (dtype in listOf(DType.FLOAT32, DType.UINT8)) {
                val shape = if (layout == Layout.NCHW) listOf(1, 3, 4, 5) else listOf(1, 4, 5, 3)
                val codec = PixelCodec(TensorSpec("t", shape, layout, dtype, ValueRange(0.0, 1.0)), image(Colour.BGR, listOf(0f), listOf(1f)))
                val picture = RgbPicture(6, 7, ByteArray(6 * 7 * 3) { (it * 37).toByte() })
                val (rows, columns) = intArrayOf(5, 0, 3, 3) to intArrayOf(6, 1, 0, 1, 2)
                codec.encode(picture.rgb, rows.map { it * 21 }.toIntArray(), columns.map { it * 3 }.toIntArray())
                val target = ByteArray(300) { 99 }
                codec.decode(PixelRect(1, 2, 3, 2), target, 50, 40)
                val expected = ByteArray(300) { 99 }
                for (y in 0 until 3) {
                    for (x in 0 until 2) {
                        val from = rows[1 + y] * 21 + columns[2 + x] * 3
                        picture.rgb.copyInto(expected, 50 + y * 40 + x * 3, from, from + 3)
                    }
                }
                assertContentEquals(expected, target, "$layout $dtype")
            }
        }
    }

    @Test
    fun whatCannotBeConvertedIsRefused() {
        fun refused(
            shape: List<Int> = listOf(1, 3, 4, 4),
            dtype: DType = DType.FLOAT32,
            colour: Colour = Colour.RGB,
        ) = assertFailsWith<InvalidManifest> {
            PixelCodec(TensorSpec("input", shape, Layout.NCHW, dtype, ValueRange(0.0, 1.0)), image(colour, listOf(0f), listOf(1f)))
        }.message
        assertEquals("tensor 'input' has shape [1, 1, 4, 4]; expected one picture of 3 channels", refused(listOf(1, 1, 4, 4)))
        assertEquals("tensor 'input' is INT8; expected FLOAT32 or UINT8", refused(dtype = DType.INT8))
        assertEquals("'image' has the colours LUMA; expected RGB or BGR", refused(colour = Colour.LUMA))
        refused(listOf(2, 3, 4, 4))
        refused(listOf(3, 4, 4))
    }

    private fun isFloat(case: JsonPlace) = case.key("dtype").text() == "float32"

    private fun codec(case: JsonPlace): PixelCodec {
        val (height, width) = case.key("height").int(1) to case.key("width").int(1)
        val layout = case.key("layout").oneOf<Layout>(small = false)
        val shape = if (layout == Layout.NCHW) listOf(1, 3, height, width) else listOf(1, height, width, 3)
        val (mean, std) = listOf("mean", "std").map { key -> case.key(key).list().map { it.number().toFloat() } }
        val spec = TensorSpec("t", shape, layout, case.key("dtype").oneOf<DType>(), ValueRange(0.0, 1.0))
        return PixelCodec(spec, image(case.key("colour").oneOf<Colour>(), mean, std))
    }

    private fun image(
        colour: Colour,
        mean: List<Float>,
        std: List<Float>,
    ) = ImageSpec("image", 3, colour, mean, std, ValueRange(0.0, 1.0))

    /** The fixtures' bytes are little-endian, the buffer's in the machine's order. */
    private fun contents(
        buffer: ByteBuffer,
        isFloat: Boolean,
    ): ByteArray {
        val found = ByteArray(buffer.capacity())
        if (!isFloat) return found.also { buffer.duplicate().get(it) }
        val values = FloatArray(found.size / 4).also { buffer.duplicate().order(ByteOrder.nativeOrder()).asFloatBuffer().get(it) }
        littleEndian(found).asFloatBuffer().put(values)
        return found
    }

    private fun fill(
        buffer: ByteBuffer,
        bytes: ByteArray,
        isFloat: Boolean,
    ) {
        if (!isFloat) buffer.duplicate().put(bytes)
        if (isFloat) buffer.duplicate().order(ByteOrder.nativeOrder()).asFloatBuffer().put(littleEndian(bytes).asFloatBuffer())
    }
}
