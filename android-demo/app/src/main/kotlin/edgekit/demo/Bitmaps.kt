package edgekit.demo

import android.graphics.Bitmap
import android.graphics.Matrix
import edgekit.core.Orientation
import edgekit.core.PictureSink
import edgekit.core.PictureSource

/** Reads a bitmap (ARGB_8888) row by row; alpha is left out. One thread at a time. */
class BitmapSource(
    private val bitmap: Bitmap,
) : PictureSource {
    override val height = bitmap.height
    override val width = bitmap.width
    private val row = IntArray(width)

    override fun readRow(
        y: Int,
        rgb: ByteArray,
        offset: Int,
    ) {
        bitmap.getPixels(row, 0, width, 0, y, width, 1)
        var at = offset
        for (pixel in row) {
            rgb[at] = (pixel shr 16).toByte()
            rgb[at + 1] = (pixel shr 8).toByte()
            rgb[at + 2] = pixel.toByte()
            at += 3
        }
    }
}

/** Writes rows into a mutable bitmap (ARGB_8888) of the result's size. One thread at a time. */
class BitmapSink(
    private val bitmap: Bitmap,
) : PictureSink {
    private val row = IntArray(bitmap.width)

    override fun writeRows(
        y: Int,
        height: Int,
        rgb: ByteArray,
    ) {
        var at = 0
        for (line in y until y + height) {
            for (x in row.indices) {
                row[x] = OPAQUE or (rgb[at].toInt() and 255 shl 16) or (rgb[at + 1].toInt() and 255 shl 8) or (rgb[at + 2].toInt() and 255)
                at += 3
            }
            bitmap.setPixels(row, 0, row.size, 0, line, row.size, 1)
        }
    }

    private companion object {
        const val OPAQUE = 255 shl 24
    }
}

/** Itself if nothing is to be turned. Raises OutOfMemoryError. */
fun Bitmap.turned(orientation: Orientation): Bitmap {
    if (orientation == Orientation.UPRIGHT) return this
    val matrix = Matrix().apply { postRotate(orientation.degrees.toFloat()) }
    if (orientation.mirror) matrix.postScale(-1f, 1f)
    return Bitmap.createBitmap(this, 0, 0, width, height, matrix, false).also { if (it !== this) recycle() }
}
