package edgekit.demo.logic

/**
 * How large a picture may be worked on. A bitmap takes 4 bytes a pixel; held at once are the picture, for a moment a turned copy of it, the result (`scale` times
 * as high and wide), and the enhancer's own buffers. Half of what is free is left to the rest of the phone.
 */
class PictureLimit(
    private val freeBytes: Long,
    private val scale: Int,
    private val workingBytes: (width: Int) -> Long,
) {
    /** The smallest of 1, 2, 4, 8, 16 by which a picture must be divided to fit, or null. BitmapFactory's inSampleSize takes it. */
    fun sampleSize(
        height: Int,
        width: Int,
    ): Int? = SAMPLE_SIZES.firstOrNull { bytes(ceil(height, it), ceil(width, it)) <= freeBytes / 2 }

    private fun bytes(
        height: Int,
        width: Int,
    ): Long {
        val pixels = height.toLong() * width
        val longSide = maxOf(height, width)
        return BYTES_A_PIXEL * pixels * (2L + scale.toLong() * scale) + workingBytes(longSide)
    }

    private fun ceil(
        side: Int,
        by: Int,
    ) = (side + by - 1) / by

    private companion object {
        const val BYTES_A_PIXEL = 4L
        val SAMPLE_SIZES = listOf(1, 2, 4, 8, 16)
    }
}
