package edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** What the self-test asks the phone; null where the system does not say. Memory is the process's, see [ProcessMemory]. */
interface Probe {
    fun nowNs(): Long

    fun thermal(): ThermalState?

    fun residentMemoryMb(): Double?

    /** The most that has been resident so far. */
    fun peakMemoryMb(): Double?
}

/** Runs the golden pair of an artifact, times the model, and says what it found. Blocking; call it on the model's thread. */
class SelfTest(
    private val bundle: ModelBundle,
    private val probe: Probe,
    private val runs: Int = 20,
    private val warmUp: Int = 3,
) {
    /**
     * `sha256` is of the file as the app read it, `runtime` such as "ExecuTorch 1.1 XNNPACK". `open` opens the file, which is closed again; what it throws is the
     * reason that nothing was measured. A file that is not the manifest's is not opened: a runtime that trusts a damaged one ends the whole app. `progress` (runs done, runs in all) may throw to stop. What cannot be measured is null in the result, with the reason.
     *
     * Peak memory is how far the process's peak lies above what was resident before the file was opened: whatever else the app does meanwhile counts too.
     */
    fun run(
        artifact: Artifact,
        sha256: String,
        runtime: String,
        progress: (Int, Int) -> Unit = { _, _ -> },
        open: () -> Enhancer,
    ): ArtifactReport {
        val thermalBefore = probe.thermal()
        val whyNot = LinkedHashMap<String, String>()
        var golden: GoldenResult? = null
        var latency: LatencyResult? = null
        try {
            if (sha256 != artifact.sha256) throw InvalidFile("the file has sha256 ${sha256.take(12)}, the manifest says ${artifact.sha256.take(12)}; not run")
            val input = input(artifact)
            val output = tensorBuffer(artifact.output)
            val residentMb = probe.residentMemoryMb()
            open().use { enhancer ->
                enhancer.run(input, output)
                golden = golden(artifact, output, whyNot)
                latency = time(enhancer, input, output, residentMb, progress)
            }
        } catch (error: EnhancerException) {
            noteWhy(whyNot, golden, latency, error.message)
        } catch (error: LinkageError) {
            noteWhy(whyNot, golden, latency, "the runtime's native library is not for this phone (${error.message})")
        }
        return ArtifactReport(artifact.name, sha256, runtime, golden, latency, thermalBefore, probe.thermal(), whyNot)
    }

    private fun noteWhy(
        whyNot: MutableMap<String, String>,
        golden: GoldenResult?,
        latency: LatencyResult?,
        reason: String?,
    ) {
        val line = (reason ?: "no reason given").lineSequence().first()
        if (golden == null) whyNot.getOrPut("golden") { line }
        if (latency == null) whyNot["latency"] = line
    }

    /** The golden input as the artifact takes it. */
    private fun input(artifact: Artifact): ByteBuffer {
        val stored = bundle.manifest.golden.input
        val pixels = TensorValues.read(bundle.read(stored), stored.shape, stored.layout, stored.dtype)
        val buffer = tensorBuffer(artifact.input)
        TensorValues.write(pixels, buffer, artifact.input)
        return buffer
    }

    private fun golden(
        artifact: Artifact,
        output: ByteBuffer,
        whyNot: MutableMap<String, String>,
    ): GoldenResult? {
        val stored = bundle.manifest.goldenOf(artifact)
        if (stored == null) {
            whyNot["golden"] = "the bundle holds no golden output for it"
            return null
        }
        val expected = TensorValues.read(bundle.read(stored.output), stored.output.shape, stored.output.layout, stored.output.dtype)
        val bytes = ByteArray(artifact.output.bytes).also { output.duplicate().apply { clear() }.get(it) }
        val spec = artifact.output
        val got = TensorValues.read(bytes, spec.shape, spec.layout, spec.dtype, ByteOrder.nativeOrder())
        if (got.size != expected.size) throw InvalidFile("${stored.output.file}: holds ${expected.size} values, the model gives ${got.size}; expected the same")
        return GoldenResult.compare(expected, got, stored.maxAbs, stored.minPsnrDb)
    }

    private fun time(
        enhancer: Enhancer,
        input: ByteBuffer,
        output: ByteBuffer,
        residentMb: Double?,
        progress: (Int, Int) -> Unit,
    ): LatencyResult {
        repeat(warmUp) { enhancer.run(input, output) }
        val ms =
            DoubleArray(runs) { run ->
                val start = probe.nowNs()
                enhancer.run(input, output)
                ((probe.nowNs() - start) / 1e6).also { progress(run + 1, runs) }
            }
        val peakMb = probe.peakMemoryMb()
        val usedMb = if (peakMb == null || residentMb == null) null else maxOf(0.0, peakMb - residentMb)
        return LatencyResult(LatencyResult.medianMs(ms), LatencyResult.p90Ms(ms), runs, enhancer.threads, usedMb)
    }
}
