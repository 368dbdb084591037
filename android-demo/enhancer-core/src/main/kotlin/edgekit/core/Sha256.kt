package edgekit.core

import java.io.InputStream
import java.security.MessageDigest

object Sha256 {
    private const val BLOCK = 1 shl 16

    /** Of all that the stream still holds: 64 small hexadecimal digits. Closes nothing. Raises IOException. */
    fun of(stream: InputStream): String {
        val digest = MessageDigest.getInstance("SHA-256")
        val block = ByteArray(BLOCK)
        while (true) {
            val count = stream.read(block)
            if (count < 0) return hex(digest.digest())
            digest.update(block, 0, count)
        }
    }

    fun of(bytes: ByteArray): String = of(bytes.inputStream())

    internal fun hex(bytes: ByteArray): String = bytes.joinToString("") { "%02x".format(it) }
}
