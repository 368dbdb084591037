package edgekit.core

/** A rectangle of whole pixels. */
data class PixelRect(
    val y: Int,
    val x: Int,
    val height: Int,
    val width: Int,
) {
    internal fun requireInside(
        pictureHeight: Int,
        pictureWidth: Int,
    ) {
        val fits = y >= 0 && x >= 0 && height >= 1 && width >= 1 && height <= pictureHeight - y && width <= pictureWidth - x
        require(fits) { "$this reaches beyond ${pictureHeight}x$pictureWidth; expected a part of it" }
    }

    companion object {
        /** The largest centred rectangle of this aspect (width : height) in a picture of `height` x `width`; at least one pixel a side. */
        fun centred(
            height: Int,
            width: Int,
            aspectWidth: Int,
            aspectHeight: Int,
        ): PixelRect {
            val isWide = width.toLong() * aspectHeight > height.toLong() * aspectWidth
            val partHeight = if (isWide) height else maxOf(1, (width.toLong() * aspectHeight / aspectWidth).toInt())
            val partWidth = if (isWide) maxOf(1, (height.toLong() * aspectWidth / aspectHeight).toInt()) else width
            return PixelRect((height - partHeight) / 2, (width - partWidth) / 2, partHeight, partWidth)
        }
    }
}

/** `degrees` clockwise (0, 90, 180, 270), then, if `mirror`, left-right. */
data class Orientation(
    val degrees: Int = 0,
    val mirror: Boolean = false,
) {
    init {
        require(degrees in setOf(0, 90, 180, 270)) { "degrees is $degrees; expected 0, 90, 180 or 270" }
    }

    val swapsSides: Boolean get() = degrees % 180 != 0

    companion object {
        val UPRIGHT = Orientation()
    }
}

/** Where the pixels of a picture of `height` x `width` stand in the turned picture, counted row by row. */
internal class Placing(
    height: Int,
    width: Int,
    orientation: Orientation,
) {
    val first: Int
    val rowStep: Int
    val columnStep: Int

    init {
        val turnedWidth = if (orientation.swapsSides) height else width

        fun place(
            y: Int,
            x: Int,
        ): Int {
            val (toY, toX) =
                when (orientation.degrees) {
                    90 -> x to height - 1 - y
                    180 -> height - 1 - y to width - 1 - x
                    270 -> width - 1 - x to y
                    else -> y to x
                }
            return toY * turnedWidth + if (orientation.mirror) turnedWidth - 1 - toX else toX
        }
        first = place(0, 0)
        rowStep = place(1, 0) - first
        columnStep = place(0, 1) - first
    }

    fun at(
        y: Int,
        x: Int,
    ): Int = first + y * rowStep + x * columnStep
}
