package edgekit.core

/** A rectangle of whole pixels. */
data class PixelRect(
    val y: Int,
    val x: Int,
    val height: Int,
    val width: Int,
) {
    companion object {
        /** The largest centred rectangle of this aspect (width : height). */
        fun centred(
            height: Int,
            width: Int,
            aspectWidth: Int,
            aspectHeight: Int,
        ): PixelRect = TODO()
    }
}

/** `degrees` clockwise (0, 90, 180, 270), then, if `mirror`, left-right. */
data class Orientation(
    val degrees: Int = 0,
    val mirror: Boolean = false,
) {
    val swapsSides: Boolean get() = degrees % 180 != 0

    companion object {
        val UPRIGHT = Orientation()
    }
}
