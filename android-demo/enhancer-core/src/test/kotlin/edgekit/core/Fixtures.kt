package edgekit.core

import java.io.File
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.Base64

/** The golden vectors that Python, Kotlin and Swift share: tests/fixtures/README.md. Where they are says the system property `edgekit.fixtures`. */
internal object Fixtures {
    private val folder = File(checkNotNull(System.getProperty("edgekit.fixtures")) { "set the system property edgekit.fixtures to tests/fixtures" })

    fun file(name: String): File = File(folder, name)

    fun read(name: String): JsonPlace = JsonPlace(name, Json.parse(file(name).readText()), isRoot = true)

    /** The cases of a file that must agree to the bit. */
    fun exact(
        name: String,
        key: String,
    ): List<JsonPlace> {
        val root = read(name)
        check(root.key("tolerance").number() == 0.0) { "$name has a tolerance that this test does not know" }
        return root.key(key).list().also { check(it.isNotEmpty()) { "$name: no $key" } }
    }
}

internal fun JsonPlace.bytes(): ByteArray = Base64.getDecoder().decode(text())

internal fun JsonPlace.floats(): FloatArray = bytes().let { bytes -> FloatArray(bytes.size / 4).also { littleEndian(bytes).asFloatBuffer().get(it) } }

internal fun JsonPlace.ints(): List<Int> = list().map { it.whole(Int.MIN_VALUE.toLong()).toInt() }

internal fun JsonPlace.flag(): Boolean = value as Boolean

internal fun JsonPlace.numberOrNull(): Double? = if (value == null) null else number()

internal fun littleEndian(bytes: ByteArray): ByteBuffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)

/** A direct buffer, as cameras and runtimes have. */
internal fun direct(bytes: ByteArray): ByteBuffer = ByteBuffer.allocateDirect(bytes.size).order(ByteOrder.nativeOrder()).also { it.put(bytes).rewind() }
