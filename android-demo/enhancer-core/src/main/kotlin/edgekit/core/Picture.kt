package edgekit.core

/** Gives the rows of an upright picture, interleaved R, G, B bytes: a bitmap, a decoder, an array. Rows are asked for in any order, some repeatedly. */
interface PictureSource {
    val height: Int
    val width: Int

    /** Writes row `y` to the first `width * 3` bytes of `rgb`, from `offset` on. */
    fun readRow(
        y: Int,
        rgb: ByteArray,
        offset: Int,
    )
}

/** Takes the rows of the result from top to bottom, a band at a time; `rgb` is reused after the call. */
fun interface PictureSink {
    /** `height` rows from row `y` on, as wide as the result, interleaved R, G, B. */
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
    val rgb: ByteArray = ByteArray(height * width * 3),
) : PictureSource,
    PictureSink {
    override fun readRow(
        y: Int,
        rgb: ByteArray,
        offset: Int,
    ): Unit = TODO()

    override fun writeRows(
        y: Int,
        height: Int,
        rgb: ByteArray,
    ): Unit = TODO()
}
