package edgekit.core

import java.io.ByteArrayInputStream
import java.io.FileNotFoundException
import java.nio.ByteBuffer
import kotlin.math.abs
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertNull
import kotlin.test.assertTrue

class SelfTestTest {
    private val image = TestNetwork.image(4, 6, 1)
    private val values = FloatArray(3 * 4 * 6) { it / 72f }
    private val files = HashMap<String, ByteArray>()

    @Test
    fun comparisonsAreThoseOfTheFixtures() {
        val tolerance = Fixtures.read("selftest.json").key("psnr_tolerance_db").number()
        for (case in Fixtures.exact("selftest.json", "compare")) {
            val name = case.key("name").text()
            val (expected, found) = case.key("expected").floats() to case.key("got").floats()
            val got = GoldenResult.compare(expected, found, case.key("max_abs").number(), case.key("min_psnr_db").number())
            assertEquals(case.key("within").flag(), got.within, name)
            assertEquals(case.key("bit_equal").flag(), got.bitEqual, name)
            assertEquals(case.key("max_abs_found").numberOrNull(), got.maxAbs, name)
            val psnrDb = case.key("psnr_db").numberOrNull()
            assertTrue(if (psnrDb == null) got.psnrDb == null else abs(psnrDb - got.psnrDb!!) <= tolerance, "$name: ${got.psnrDb} dB, expected $psnrDb")
        }
    }

    @Test
    fun timesAreThoseOfTheFixtures() {
        for (case in Fixtures.exact("selftest.json", "times")) {
            val ms = case.key("ms").list().map { it.number() }.toDoubleArray()
            assertEquals(case.key("median_ms").number(), LatencyResult.medianMs(ms))
            assertEquals(case.key("p90_ms").number(), LatencyResult.p90Ms(ms))
        }
    }

    @Test
    fun aModelThatGivesTheGoldenOutputPasses() {
        val phone = Phone()
        val network = TestNetwork(4, 6)
        network.onRun = { phone.ns += 5_000_000L + 1_000_000L * (network.runs % 3) }
        val progress = ArrayList<Int>()
        val report = SelfTest(bundle(), phone, runs = 6, warmUp = 2).run(artifact(), artifact().sha256, "Test 1", { done, _ -> progress += done }) { network }
        assertEquals(GoldenResult(true, true, 0.0, 100.0), report.golden)
        assertEquals(LatencyResult(6.0, 7.0, 6, 1, 45.5), report.latency)
        assertEquals(listOf(1, 2, 3, 4, 5, 6), progress)
        assertEquals(9, network.runs)
        assertTrue(network.isClosed && report.whyNot.isEmpty())
        assertEquals(listOf(ThermalState.NONE, ThermalState.LIGHT), listOf(report.thermalBefore, report.thermalAfter))
    }

    /** The same golden pair for a file of another layout and dtype: as the Core ML, TFLite and uint8 files of one bundle have it. */
    @Test
    fun theGoldenInputIsBroughtIntoTheFilesOwnForm() {
        val spec = TensorSpec("in", listOf(1, 4, 6, 3), Layout.NHWC, DType.UINT8, ValueRange(0.0, 255.0))
        val bytes = values.map { (it * 255f + 0.5f).toInt() }
        val seen = ArrayList<Int>()
        val copying =
            object : Enhancer {
                override val threads = null

                override fun run(
                    input: ByteBuffer,
                    output: ByteBuffer,
                ) {
                    if (seen.isEmpty()) repeat(72) { seen += input.get(it).toInt() and 255 }
                    for (i in 0 until 72) output.putFloat(4 * i, values[i / 3 % 24 + 24 * (i % 3)])
                }

                override fun close() = Unit
            }
        val out = TensorSpec("out", listOf(1, 4, 6, 3), Layout.NHWC, DType.FLOAT32, ValueRange(0.0, 1.0))
        val artifact = artifact().copy(input = spec, output = out)
        val report = SelfTest(bundle(listOf(1, 3, 4, 6), values), Phone(), 1, 0).run(artifact, artifact.sha256, "") { copying }
        assertEquals(List(72) { bytes[it / 3 + 24 * (it % 3)] }, seen)
        assertEquals(true, report.golden?.bitEqual)
        assertNull(report.latency?.threads)
    }

    @Test
    fun aModelThatGivesSomethingElseFails() {
        fun goldenWith(change: (Float) -> Float): GoldenResult {
            val network = TestNetwork(4, 6)
            network.onRun = { it.asFloatBuffer().put(7, change(it.asFloatBuffer().get(7))) }
            return run { network }.golden!!
        }
        val golden = goldenWith { it + 0.5f }
        assertEquals(false to false, golden.within to golden.bitEqual)
        assertEquals(0.5, golden.maxAbs!!, 1e-6)
        assertEquals(GoldenResult(false, false, null, null), goldenWith { Float.POSITIVE_INFINITY })
    }

    @Test
    fun whatCannotBeMeasuredHasAReason() {
        val unopened = run { throw ModelFailed("test.bin: ExecuTorch cannot load it (error 32)\nmore") }
        assertEquals(listOf("golden", "latency").associateWith { "test.bin: ExecuTorch cannot load it (error 32)" }, unopened.whyNot)
        val unlinked = run { throw UnsatisfiedLinkError("no executorch in java.library.path") }
        assertEquals("the runtime's native library is not for this phone (no executorch in java.library.path)", unlinked.whyNot["golden"])
        val network = TestNetwork(4, 6)
        network.onRun = { if (network.runs > 2) throw ModelFailed("out of memory") }
        val half = run { network }
        assertTrue(half.golden?.bitEqual == true && network.isClosed)
        assertEquals(mapOf("latency" to "out of memory"), half.whyNot)
        val without = SelfTest(bundle().let { ModelBundle(manifest(null), it::open) }, Phone()).run(artifact(), artifact().sha256, "") { TestNetwork(4, 6) }
        assertEquals(mapOf("golden" to "the bundle holds no golden output for it"), without.whyNot)
        assertTrue(without.latency != null)
    }

    @Test
    fun alteredGoldenFilesAreNoProof() {
        val bundle = bundle()
        files.getValue("golden/out.bin")[5] = 1
        val report = SelfTest(bundle, Phone()).run(artifact(), artifact().sha256, "") { TestNetwork(4, 6) }
        assertTrue(report.golden == null && report.whyNot.getValue("golden").startsWith("golden/out.bin: has sha256 "))
        files["golden/in.bin"] = ByteArray(3)
        val other = SelfTest(bundle, Phone()).run(artifact(), artifact().sha256, "") { TestNetwork(4, 6) }
        assertEquals("golden/in.bin: has 3 bytes, the manifest says 288; expected an unaltered bundle: copy it again", other.whyNot["latency"])
    }

    @Test
    fun anotherFileIsNotOpened() {
        val report = SelfTest(bundle(), Phone()).run(artifact(), "a".repeat(64), "Test 1") { throw AssertionError("opened") }
        assertEquals("a".repeat(64), report.sha256)
        assertEquals(listOf("golden", "latency").associateWith { "the file has sha256 aaaaaaaaaaaa, the manifest says 000000000000; not run" }, report.whyNot)
    }

    private fun run(open: () -> Enhancer): ArtifactReport = SelfTest(bundle(), Phone(), 2, 1).run(artifact(), artifact().sha256, "Test 1", open = open)

    private fun artifact() = TestNetwork.artifact(4, 6)

    private fun manifest(output: GoldenTensor?): Manifest {
        val input = stored("golden/in.bin", listOf(1, 3, 4, 6))
        val outputs = listOfNotNull(output?.let { GoldenOutput("test", it, 0.01, 40.0) })
        return Manifest("2026-11-21T10:30:00Z", Model("test", "", 2), image, listOf(artifact()), Golden(input, outputs))
    }

    private fun bundle(
        shape: List<Int> = listOf(1, 3, 8, 12),
        expected: FloatArray = golden(),
    ): ModelBundle {
        files["golden/in.bin"] = raw(values)
        files["golden/out.bin"] = raw(expected)
        return ModelBundle(manifest(stored("golden/out.bin", shape))) { ByteArrayInputStream(files[it] ?: throw FileNotFoundException(it)) }
    }

    private fun golden(): FloatArray {
        val output = direct(ByteArray(4 * 3 * 8 * 12))
        TestNetwork(4, 6).run(direct(raw(values)), output)
        return FloatArray(3 * 8 * 12).also { output.asFloatBuffer().get(it) }
    }

    private fun stored(
        file: String,
        shape: List<Int>,
    ) = GoldenTensor(file, shape, Layout.NCHW, DType.FLOAT32, files.getValue(file).size, Sha256.of(files.getValue(file)))

    private fun raw(values: FloatArray) = ByteArray(4 * values.size).also { littleEndian(it).asFloatBuffer().put(values) }

    private class Phone : Probe {
        var ns = 0L
        private val states = ArrayDeque(listOf(ThermalState.NONE, ThermalState.LIGHT))

        override fun nowNs() = ns

        override fun thermal() = states.removeFirst()

        override fun residentMemoryMb() = 100.0

        override fun peakMemoryMb() = 145.5
    }
}
