package edgekit.demo

import android.annotation.TargetApi
import android.content.ContentResolver
import android.content.ContentValues
import android.graphics.Bitmap
import android.net.Uri
import android.os.Build
import android.provider.MediaStore
import java.io.IOException

/** Saves results as JPEG. Not for the main thread. */
class PictureStore(
    private val resolver: ContentResolver,
) {
    /** Into the gallery's folder Pictures/edgekit, without any permission; it appears there once it is whole. Raises IOException. */
    @TargetApi(Build.VERSION_CODES.Q)
    fun save(
        picture: Bitmap,
        name: String,
    ) {
        val values =
            ContentValues().apply {
                put(MediaStore.Images.Media.DISPLAY_NAME, name)
                put(MediaStore.Images.Media.MIME_TYPE, MIME_TYPE)
                put(MediaStore.Images.Media.RELATIVE_PATH, "Pictures/edgekit")
                put(MediaStore.Images.Media.IS_PENDING, 1)
            }
        val folder = MediaStore.Images.Media.getContentUri(MediaStore.VOLUME_EXTERNAL_PRIMARY)
        val uri = resolver.insert(folder, values) ?: throw IOException("the gallery takes no new picture")
        try {
            saveTo(uri, picture)
            resolver.update(uri, ContentValues().apply { put(MediaStore.Images.Media.IS_PENDING, 0) }, null, null)
        } catch (error: IOException) {
            resolver.delete(uri, null, null)
            throw error
        }
    }

    /** Raises IOException. */
    fun saveTo(
        uri: Uri,
        picture: Bitmap,
    ) {
        val stream = resolver.openOutputStream(uri) ?: throw IOException("the file cannot be written")
        stream.use { if (!picture.compress(Bitmap.CompressFormat.JPEG, QUALITY, it)) throw IOException("the picture cannot be written as JPEG") }
    }

    companion object {
        const val MIME_TYPE = "image/jpeg"
        private const val QUALITY = 95
    }
}
