package edgekit.core

import java.io.IOException

/** What an app shows to its user or developer: `message` is one line that says what, got, expected. */
open class EnhancerException(message: String, cause: Throwable? = null) : IOException(message, cause)

/** manifest.json cannot be used; the message names the key. */
class InvalidManifest(message: String, cause: Throwable? = null) : EnhancerException(message, cause)

/** A file of the bundle is missing, or is not the one that the manifest describes. */
class InvalidFile(message: String, cause: Throwable? = null) : EnhancerException(message, cause)

/** The runtime cannot open or run the model file, or what it gave is no picture. */
class ModelFailed(message: String, cause: Throwable? = null) : EnhancerException(message, cause)
