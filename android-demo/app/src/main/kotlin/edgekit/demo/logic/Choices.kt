package edgekit.demo.logic

import edgekit.core.Artifact
import edgekit.core.ImageContract
import edgekit.core.Manifest
import edgekit.core.PixelRect
import edgekit.core.Tiling

data class Size(
    val height: Int,
    val width: Int,
)

/** What the app picks where it has a choice. */
object Choices {
    /** The artifacts that a linked runtime can run, in the manifest's order. */
    fun usable(
        manifest: Manifest,
        backends: Collection<String>,
    ): List<Artifact> = manifest.artifacts.filter { it.backend in backends }

    /** The one that the user has chosen, or the first that can run. Null if none can. */
    fun artifact(
        manifest: Manifest,
        backends: Collection<String>,
        chosen: String?,
    ): Artifact? = usable(manifest, backends).let { found -> found.find { it.name == chosen } ?: found.firstOrNull() }

    /** The part of a frame that the live preview enhances: as much as one tile takes, from the middle. */
    fun previewRegion(
        frame: Size,
        image: ImageContract,
        swapsSides: Boolean,
    ): PixelRect {
        val around = if (image.tiling == Tiling.WHOLE) 0 else 2 * image.halo
        val tile = Size(image.tileHeight - around, image.tileWidth - around)
        val height = minOf(frame.height, if (swapsSides) tile.width else tile.height)
        val width = minOf(frame.width, if (swapsSides) tile.height else tile.width)
        return PixelRect((frame.height - height) / 2, (frame.width - width) / 2, height, width)
    }

    /** Of a camera's sizes the smallest that holds `least` a side, so that the part that one tile shows is large; else the largest. */
    fun frameSize(
        sizes: Collection<Size>,
        least: Int,
    ): Size {
        require(sizes.isNotEmpty()) { "the camera has no sizes; expected at least one" }
        val pixels = { size: Size -> size.height.toLong() * size.width }
        return sizes.filter { minOf(it.height, it.width) >= least }.minByOrNull(pixels) ?: sizes.maxBy(pixels)
    }

    /** The largest that is at most as large as `most` pixels, else the smallest. */
    fun pictureSize(
        sizes: Collection<Size>,
        most: Long,
    ): Size {
        require(sizes.isNotEmpty()) { "the camera has no sizes; expected at least one" }
        val pixels = { size: Size -> size.height.toLong() * size.width }
        return sizes.filter { pixels(it) <= most }.maxByOrNull(pixels) ?: sizes.minBy(pixels)
    }
}
