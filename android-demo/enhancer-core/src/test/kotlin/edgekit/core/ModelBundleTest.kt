package edgekit.core

import java.io.File
import java.io.FileNotFoundException
import java.nio.file.Files
import kotlin.test.AfterTest
import kotlin.test.BeforeTest
import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertFalse

class ModelBundleTest {
    private lateinit var folder: File
    private val content = ByteArray(100_000) { it.toByte() }
    private val artifact = TestNetwork.artifact(4, 6).copy(bytes = 100_000, sha256 = Sha256.of(content))

    @BeforeTest
    fun makeFolder() {
        folder = Files.createTempDirectory("edgekit").toFile()
    }

    @AfterTest
    fun removeFolder() {
        folder.deleteRecursively()
    }

    @Test
    fun digestsAreSha256() {
        assertEquals("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", Sha256.of(ByteArray(0)))
        assertEquals("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", Sha256.of("abc".toByteArray()))
        assertEquals("cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0", Sha256.of(ByteArray(1_000_000) { 'a'.code.toByte() }))
    }

    @Test
    fun aBundleIsReadFromAFolder() {
        Fixtures.file("manifests/small.json").copyTo(File(folder, "manifest.json"))
        assertEquals("edsr", ModelBundle.open(fromFolder()).manifest.model.name.take(4))
    }

    @Test
    fun whatIsNoBundleIsRefused() {
        assertContains(assertFailsWith<InvalidFile> { ModelBundle.open(fromFolder()) }.message.orEmpty(), "manifest.json: cannot be read (")
        File(folder, "manifest.json").writeBytes(byteArrayOf('{'.code.toByte(), -1))
        assertEquals("manifest.json: is not UTF-8 text; expected a manifest", assertFailsWith<InvalidManifest> { ModelBundle.open(fromFolder()) }.message)
        File(folder, "manifest.json").writeBytes(ByteArray((16 shl 20) + 1) { ' '.code.toByte() })
        assertContains(assertFailsWith<InvalidManifest> { ModelBundle.open(fromFolder()) }.message.orEmpty(), "has more than 16777216 bytes")
    }

    @Test
    fun modelFilesAreCopiedOnce() {
        var opened = 0
        val bundle =
            bundle {
                opened++
                content.inputStream()
            }
        val copy = File(folder, "copy.pte")
        repeat(2) { assertEquals(artifact.sha256, bundle.copy(artifact, copy)) }
        assertEquals(1, opened)
        assertEquals(artifact.sha256, Sha256.of(copy.readBytes()))
        copy.writeBytes(content.copyOf().also { it[7] = 0 })
        bundle.copy(artifact, copy)
        assertEquals(artifact.sha256 to 2, Sha256.of(copy.readBytes()) to opened)
    }

    @Test
    fun alteredModelFilesAreNotCopied() {
        val copy = File(folder, "copy.pte")
        for ((data, problem) in listOf(content.copyOf(99_999) to "has 99999 bytes, the manifest says 100000", content.reversedArray() to "has sha256 ")) {
            assertContains(assertFailsWith<InvalidFile> { bundle { data.inputStream() }.copy(artifact, copy) }.message.orEmpty(), "test.bin: $problem")
        }
        val absent = assertFailsWith<InvalidFile> { bundle { throw FileNotFoundException("no such asset") }.copy(artifact, copy) }
        assertContains(absent.message.orEmpty(), "(no such asset)")
        assertFailsWith<InvalidFile> { bundle { content.inputStream() }.copy(artifact, File(folder, "missing/copy.pte")) }
        assertEquals(emptyList(), folder.list().orEmpty().toList())
    }

    @Test
    fun memoryIsToldWhereLinuxTellsIt() {
        val (resident, peak) = ProcessMemory.residentMb()!! to ProcessMemory.peakMb()!!
        assertFalse(resident < 5 || peak < resident || peak > 100_000)
    }

    private fun fromFolder() = BundleFiles { File(folder, it).inputStream() }

    private fun bundle(files: BundleFiles) = ModelBundle(Manifest.parse(Fixtures.file("manifests/small.json").readText()), files)
}
