package edgekit.demo.logic

import edgekit.core.PixelRect
import edgekit.core.Tiling
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertNull

class ChoicesTest {
    private val coreml = Samples.artifact("a", "coreml")
    private val executorch = Samples.artifact("b", "executorch")
    private val tflite = Samples.artifact("c", "tflite")
    private val manifest = Samples.manifest(coreml, tflite, executorch)
    private val linked = listOf("executorch", "tflite")

    @Test
    fun onlyWhatALinkedRuntimeTakesIsUsed() {
        assertEquals(listOf(tflite, executorch), Choices.usable(manifest, linked))
        assertEquals(emptyList(), Choices.usable(manifest, emptyList()))
    }

    @Test
    fun theChosenOneElseTheFirst() {
        assertEquals(tflite, Choices.artifact(manifest, linked, null))
        assertEquals(executorch, Choices.artifact(manifest, linked, "b"))
        assertEquals(tflite, Choices.artifact(manifest, linked, "of an older bundle"))
        assertEquals(tflite, Choices.artifact(manifest, linked, "a"), "chosen, but cannot run here")
        assertNull(Choices.artifact(manifest, listOf("onnx"), null))
    }

    @Test
    fun thePreviewShowsOneTilesCoreFromTheMiddle() {
        val image = Samples.image(tileHeight = 128, tileWidth = 100, halo = 5)
        assertEquals(PixelRect(181, 275, 118, 90), Choices.previewRegion(Size(480, 640), image, false))
        assertEquals(PixelRect(195, 261, 90, 118), Choices.previewRegion(Size(480, 640), image, true))
        assertEquals(PixelRect(0, 0, 72, 88), Choices.previewRegion(Size(72, 88), image, false))
    }

    @Test
    fun aNetworkThatSeesTheWholePictureGetsAWholeTile() {
        val image = Samples.image(tileHeight = 64, tileWidth = 64, halo = 5, tiling = Tiling.WHOLE)
        assertEquals(PixelRect(208, 288, 64, 64), Choices.previewRegion(Size(480, 640), image, false))
    }

    @Test
    fun framesAreTheSmallestThatHoldATile() {
        val sizes = listOf(Size(1080, 1920), Size(480, 640), Size(144, 176), Size(240, 320))
        assertEquals(Size(144, 176), Choices.frameSize(sizes, 128))
        assertEquals(Size(240, 320), Choices.frameSize(sizes, 145))
        assertEquals(Size(1080, 1920), Choices.frameSize(sizes, 4000))
        assertFailsWith<IllegalArgumentException> { Choices.frameSize(emptyList(), 1) }
    }

    @Test
    fun picturesAreTheLargestThatAreAllowed() {
        val sizes = listOf(Size(6000, 8000), Size(3000, 4000), Size(480, 640))
        assertEquals(Size(3000, 4000), Choices.pictureSize(sizes, 13_000_000))
        assertEquals(Size(480, 640), Choices.pictureSize(sizes, 1))
        assertFailsWith<IllegalArgumentException> { Choices.pictureSize(emptyList(), 1) }
    }
}
