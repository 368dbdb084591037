package edgekit.core

import java.io.ByteArrayOutputStream
import java.io.File
import java.io.IOException
import java.io.InputStream
import java.nio.ByteBuffer
import java.nio.charset.CharacterCodingException

/** Opens a file of a bundle by its path in it: an app's assets, or a folder. Raises IOException. */
fun interface BundleFiles {
    fun open(path: String): InputStream
}

/** A bundle as `edgekit bundle --into` copied it: manifest.json, model files, golden pair. */
class ModelBundle(
    val manifest: Manifest,
    private val files: BundleFiles,
) {
    /** A file as it is, unchecked. Raises IOException. */
    fun open(path: String): InputStream = files.open(path)

    /** The bytes of a golden tensor, checked. Raises [InvalidFile]. */
    fun read(tensor: GoldenTensor): ByteArray {
        val data = readAtMost(files, tensor.file, tensor.bytes)
        if (data.size != tensor.bytes) throw otherSize(tensor.file, if (data.size > tensor.bytes) "more" else "${data.size}", tensor.bytes.toLong())
        requireDigest(tensor.file, Sha256.of(data), tensor.sha256)
        return data
    }

    /**
     * Copies a model file out of the bundle, for a runtime that maps a file; `copy` appears whole or not at all. A copy that is there already, of the right
     * size and sha256, stays. Returns the sha256 as read. Raises [InvalidFile].
     */
    fun copy(
        artifact: Artifact,
        copy: File,
    ): String {
        if (copy.length() == artifact.bytes && copy.inputStream().use { Sha256.of(it) } == artifact.sha256) return artifact.sha256
        val part = File(copy.path + ".part")
        try {
            files.open(artifact.file).use { source -> part.outputStream().use { source.copyTo(it) } }
            if (part.length() != artifact.bytes) throw otherSize(artifact.file, "${part.length()}", artifact.bytes)
            requireDigest(artifact.file, part.inputStream().use { Sha256.of(it) }, artifact.sha256)
            if (!part.renameTo(copy)) throw InvalidFile("$copy: cannot be written; expected a free name in a folder of the app's own")
        } catch (error: EnhancerException) {
            throw error
        } catch (error: IOException) {
            throw InvalidFile("${artifact.file}: cannot be copied to $copy (${reason(error)}); expected free space and a whole bundle", error)
        } finally {
            part.delete()
        }
        return artifact.sha256
    }

    companion object {
        const val MANIFEST = "manifest.json"
        private const val LARGEST_MANIFEST = 16 shl 20

        /** Reads the manifest. Raises [InvalidManifest]; [InvalidFile] if there is none. */
        fun open(files: BundleFiles): ModelBundle {
            val data = readAtMost(files, MANIFEST, LARGEST_MANIFEST)
            if (data.size > LARGEST_MANIFEST) throw InvalidManifest("$MANIFEST: has more than $LARGEST_MANIFEST bytes; expected a manifest")
            val text =
                try {
                    Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(data)).toString()
                } catch (error: CharacterCodingException) {
                    throw InvalidManifest("$MANIFEST: is not UTF-8 text; expected a manifest", error)
                }
            return ModelBundle(Manifest.parse(text), files)
        }

        /** At most `most` + 1 bytes. */
        private fun readAtMost(
            files: BundleFiles,
            path: String,
            most: Int,
        ): ByteArray =
            try {
                files.open(path).use { stream ->
                    val found = ByteArrayOutputStream()
                    val block = ByteArray(1 shl 16)
                    while (found.size() <= most) {
                        val count = stream.read(block, 0, minOf(block.size, most + 1 - found.size()))
                        if (count < 0) break
                        found.write(block, 0, count)
                    }
                    found.toByteArray()
                }
            } catch (error: IOException) {
                throw InvalidFile("$path: cannot be read (${reason(error)}); expected a bundle that `edgekit bundle --into` copied", error)
            }

        private fun otherSize(
            file: String,
            found: String,
            expected: Long,
        ) = InvalidFile("$file: has $found bytes, the manifest says $expected; expected an unaltered bundle: copy it again")

        private fun requireDigest(
            file: String,
            found: String,
            expected: String,
        ) {
            if (found != expected) {
                throw InvalidFile("$file: has sha256 ${found.take(12)}, the manifest says ${expected.take(12)}; expected an unaltered bundle: copy it again")
            }
        }

        private fun reason(error: IOException) = (error.message ?: error.javaClass.simpleName).lineSequence().first()
    }
}
