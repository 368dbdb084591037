package edgekit.core

import java.util.concurrent.CancellationException
import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class PictureEnhancerTest {
    @Test
    fun picturesAreStitchedAsInTheFixtures() {
        for (case in Fixtures.exact("stitched.json", "cases")) {
            val (tileHeight, tileWidth) = case.key("tile").ints()
            val picture = RgbPicture(case.key("height").int(1), case.key("width").int(1), case.key("rgb").bytes())
            assertContentEquals(case.key("out_rgb").bytes(), enhanced(picture, tileHeight, tileWidth, case.key("halo").int(0)).rgb)
        }
    }

    /** With a halo of the network's reach, tiles of any size give the same: no seams. */
    @Test
    fun tilesLeaveNoSeams() {
        val random = Random(6)
        val picture = picture(37, 53)
        val expected = enhanced(picture, 40, 60, 1)
        repeat(20) {
            val halo = random.nextInt(1, 5)
            val (height, width) = List(2) { 2 * halo + random.nextInt(1, 40) }
            assertContentEquals(expected.rgb, enhanced(picture, height, width, halo).rgb, "tile ${height}x$width, halo $halo")
        }
    }

    @Test
    fun oneEnhancerTakesPicturesOfAnySize() {
        val enhancer = enhancer(16, 24, 2)
        for ((height, width) in listOf(10 to 200, 100 to 9, 1 to 1, 33 to 150)) {
            val (picture, result) = picture(height, width) to RgbPicture(2 * height, 2 * width)
            enhancer.enhance(picture, result)
            assertContentEquals(enhanced(picture, 16, 24, 2).rgb, result.rgb)
        }
    }

    @Test
    fun bandsComeFromTopToBottomAndProgressCounts() {
        val told = ArrayList<Any>()
        enhancer(16, 24, 2).enhance(picture(30, 50), { y, height, _ -> told += y to height }, progress = { done, total -> told += "$done/$total" })
        assertEquals<List<Any>>(
            listOf("1/9", "2/9", "3/9", 0 to 24, "4/9", "5/9", "6/9", 24 to 24, "7/9", "8/9", "9/9", 48 to 12),
            told,
        )
    }

    @Test
    fun rowsAreReadOnceABandAndNeverBeyondThePicture() {
        val picture = picture(45, 20)
        val read = ArrayList<Int>()
        val source =
            object : PictureSource by picture {
                override fun readRow(
                    y: Int,
                    rgb: ByteArray,
                    offset: Int,
                ) {
                    read += y
                    picture.readRow(y, rgb, offset)
                }
            }
        enhancer(16, 24, 2).enhance(source, { _, _, _ -> })
        assertEquals((0..13) + (10..25) + (22..37) + (34..44), read)
    }

    @Test
    fun cancellingEndsBetweenTwoTiles() {
        val network = TestNetwork(16, 24)
        val enhancer = enhancer(16, 24, 2, network)
        val error = assertFailsWith<CancellationException> { enhancer.enhance(picture(30, 50), { _, _, _ -> }, cancelled = { network.runs == 4 }) }
        assertEquals("cancelled after 4 of 9 tiles", error.message)
        assertEquals(4, network.runs)
        assertFailsWith<IllegalStateException> { enhancer.enhance(picture(30, 50), { _, _, _ -> }) { done, _ -> check(done < 2) } }
        assertEquals(6, network.runs)
        val result = RgbPicture(60, 100)
        enhancer.enhance(picture(30, 50), result)
        assertContentEquals(enhanced(picture(30, 50), 16, 24, 2).rgb, result.rgb, "usable after it was cancelled")
    }

    @Test
    fun valuesThatAreNotFiniteAreNoPicture() {
        val network = TestNetwork(16, 24)
        network.onRun = { if (network.runs == 5) it.asFloatBuffer().put((32 + 16) * 48 + 24, Float.NaN) }
        val error = assertFailsWith<ModelFailed> { enhancer(16, 24, 2, network).enhance(picture(30, 50), { _, _, _ -> }) }
        assertEquals("the model gave values that are not finite for the tile at row 12, column 20; expected numbers", error.message)
    }

    @Test
    fun aModelThatSeesTheWholePictureIsNeverTiled() {
        val enhancer = PictureEnhancer(TestNetwork(8, 10), TestNetwork.artifact(8, 10), TestNetwork.image(8, 10, 0, Tiling.WHOLE))
        val picture = picture(8, 10)
        val result = RgbPicture(16, 20)
        enhancer.enhance(picture, result)
        assertContentEquals(enhanced(picture, 8, 10, 0).rgb, result.rgb)
        val error = assertFailsWith<EnhancerException> { enhancer.enhance(picture(8, 11), result) }
        assertEquals("picture is 8x11; expected 8x10: this model sees the whole picture and cannot be tiled", error.message)
    }

    @Test
    fun memoryIsBoundedByTheWidth() {
        val enhancer = enhancer(128, 128, 8)
        val tensors = 2L * 4 * 3 * 128 * 128 * 5
        assertEquals(tensors + 3L * 8000 * 128 + 3L * 16000 * 224, enhancer.workingBytes(8000))
        val tall =
            object : PictureSource {
                override val height = 100_000
                override val width = 3

                override fun readRow(
                    y: Int,
                    rgb: ByteArray,
                    offset: Int,
                ) = rgb.fill(y.toByte(), offset, offset + 9)
            }
        var rows = 0
        enhancer.enhance(tall, { y, height, rgb ->
            assertTrue(y == rows && rgb.size <= 3 * 6 * 224)
            rows += height
        })
        assertEquals(200_000, rows)
        val wide =
            object : PictureSource by tall {
                override val height = 1
                override val width = 3_000_000
            }
        assertEquals("picture is 1x3000000; expected a narrower one", assertFailsWith<EnhancerException> { enhancer.enhance(wide, { _, _, _ -> }) }.message)
    }

    private fun picture(
        height: Int,
        width: Int,
    ) = RgbPicture(height, width, Random(height * 1000 + width).nextBytes(3 * height * width))

    private fun enhancer(
        height: Int,
        width: Int,
        halo: Int,
        network: TestNetwork = TestNetwork(height, width),
    ) = PictureEnhancer(network, TestNetwork.artifact(height, width), TestNetwork.image(height, width, halo))

    private fun enhanced(
        picture: RgbPicture,
        tileHeight: Int,
        tileWidth: Int,
        halo: Int,
    ) = RgbPicture(2 * picture.height, 2 * picture.width).also { enhancer(tileHeight, tileWidth, halo).enhance(picture, it) }
}
