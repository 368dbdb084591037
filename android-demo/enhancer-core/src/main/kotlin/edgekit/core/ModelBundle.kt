package edgekit.core

import java.io.InputStream

/** Opens a file of a bundle by its path in it: an app's assets, or a folder. Raises IOException. */
fun interface BundleFiles {
    fun open(path: String): InputStream
}

/** A bundle as `edgekit bundle --into` copied it: manifest.json, model files, golden pair. */
class ModelBundle(
    val manifest: Manifest,
    private val files: BundleFiles,
) {
    fun open(path: String): InputStream = files.open(path)

    /** The bytes of a golden tensor, checked. Raises [InvalidFile]. */
    fun read(tensor: GoldenTensor): ByteArray = TODO()

    /**
     * Copies a model file out of the bundle, for a runtime that maps a file; `copy` appears whole or not at all. A file of the right size and sha256 that is
     * there already stays. Raises [InvalidFile].
     */
    fun copy(
        artifact: Artifact,
        copy: java.io.File,
    ): Unit = TODO()

    companion object {
        const val MANIFEST = "manifest.json"

        /** Reads the manifest. Raises [InvalidManifest]; [InvalidFile] if there is none. */
        fun open(files: BundleFiles): ModelBundle = TODO()
    }
}
