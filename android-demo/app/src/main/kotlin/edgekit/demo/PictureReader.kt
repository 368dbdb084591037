package edgekit.demo

import android.content.ContentResolver
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.ColorSpace
import android.media.ExifInterface
import android.net.Uri
import edgekit.demo.logic.PictureLimit
import edgekit.demo.logic.Turning
import java.io.ByteArrayInputStream
import java.io.IOException
import java.io.InputStream

/** Where a picture's bytes come from; opened several times. Raises IOException. */
fun interface PictureBytes {
    fun open(): InputStream

    companion object {
        fun of(jpeg: ByteArray) = PictureBytes { ByteArrayInputStream(jpeg) }

        fun of(
            resolver: ContentResolver,
            uri: Uri,
        ) = PictureBytes {
            try {
                resolver.openInputStream(uri)
            } catch (error: SecurityException) {
                throw IOException("the permission to read it has ended", error)
            } ?: throw IOException("it is not there any more")
        }
    }
}

/** `isReduced`: the file holds more pixels than memory allows. */
class ReadPicture(
    val bitmap: Bitmap,
    val isReduced: Boolean,
)

/** Thrown if not even a sixteenth of a picture's sides fits into memory. */
class PictureTooLarge(
    height: Int,
    width: Int,
) : IOException("picture is ${height}x$width; expected a smaller one for the memory that is free")

/** Decodes a picture upright, in sRGB, as large as memory allows. Raises IOException for what is no picture, [PictureTooLarge], OutOfMemoryError. */
fun readPicture(
    bytes: PictureBytes,
    limit: PictureLimit,
): ReadPicture {
    val bounds = BitmapFactory.Options().apply { inJustDecodeBounds = true }
    bytes.open().use { BitmapFactory.decodeStream(it, null, bounds) }
    if (bounds.outWidth < 1 || bounds.outHeight < 1) throw IOException("the file is no picture that this phone can read; expected JPEG, PNG, WebP or HEIF")
    val sampleSize = limit.sampleSize(bounds.outHeight, bounds.outWidth) ?: throw PictureTooLarge(bounds.outHeight, bounds.outWidth)
    val options =
        BitmapFactory.Options().apply {
            inSampleSize = sampleSize
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inPreferredColorSpace = ColorSpace.get(ColorSpace.Named.SRGB)
        }
    val decoded = bytes.open().use { BitmapFactory.decodeStream(it, null, options) } ?: throw IOException("the picture's data is damaged")
    return ReadPicture(decoded.turned(Turning.ofExif(exifOrientation(bytes))), sampleSize > 1)
}

/** Formats without EXIF count as upright. */
private fun exifOrientation(bytes: PictureBytes): Int =
    try {
        bytes.open().use { ExifInterface(it).getAttributeInt(ExifInterface.TAG_ORIENTATION, ExifInterface.ORIENTATION_NORMAL) }
    } catch (_: IOException) {
        ExifInterface.ORIENTATION_NORMAL
    }
