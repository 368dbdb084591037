package edgekit.core

/** Gives the rows of an upright picture, interleaved R, G, B bytes: a bitmap, a decoder, an array. Rows are asked for in any order, some repeatedly. */
interface PictureSource {
    val height: Int
    val width: Int

    /** Writes row `y` to the `width * 3` bytes of `rgb` from `offset` on. */
    fun readRow(
        y: Int,
        rgb: ByteArray,
        offset: Int,
    )
}

/** Takes the rows of the result from top to bottom, a band at a time; `rgb` is reused after the call. */
fun interface PictureSink {
    /** `height` rows from row `y` on, as wide as the result, interleaved R, G, B, from byte 0 on. */
    fun writeRows(
        y: Int,
        height: Int,
        rgb: ByteArray,
    )
}

/** A whole picture in memory, interleaved R, G, B. */
class RgbPicture(
    override val height: Int,
    override val width: Int,
    val rgb: ByteArray = ByteArray(byteCount(height, width)),
) : PictureSource,
    PictureSink {
    init {
        require(rgb.size == byteCount(height, width)) { "${rgb.size} bytes; expected ${byteCount(height, width)} for ${height}x$width" }
    }

    override fun readRow(
        y: Int,
        rgb: ByteArray,
        offset: Int,
    ) {
        this.rgb.copyInto(rgb, offset, y * width * 3, (y + 1) * width * 3)
    }

    override fun writeRows(
        y: Int,
        height: Int,
        rgb: ByteArray,
    ) {
        rgb.copyInto(this.rgb, y * width * 3, 0, height * width * 3)
    }

    /** A new picture. Raises IllegalArgumentException if `region` reaches beyond this one. */
    fun cropped(region: PixelRect): RgbPicture {
        region.requireInside(height, width)
        val part = RgbPicture(region.height, region.width)
        for (y in 0 until region.height) {
            val start = ((region.y + y) * width + region.x) * 3
            rgb.copyInto(part.rgb, y * region.width * 3, start, start + region.width * 3)
        }
        return part
    }

    /** A new picture. */
    fun turned(orientation: Orientation): RgbPicture {
        val turned = if (orientation.swapsSides) RgbPicture(width, height) else RgbPicture(height, width)
        val placing = Placing(height, width, orientation)
        var source = 0
        for (y in 0 until height) {
            for (x in 0 until width) {
                val target = 3 * placing.at(y, x)
                for (channel in 0 until 3) turned.rgb[target + channel] = rgb[source++]
            }
        }
        return turned
    }

    private companion object {
        fun byteCount(
            height: Int,
            width: Int,
        ): Int {
            val count = 3L * height * width
            require(height >= 1 && width >= 1 && count <= Int.MAX_VALUE) { "picture is ${height}x$width; expected 1x1 to 715 megapixels" }
            return count.toInt()
        }
    }
}
