package edgekit.core

/** What the self-test asks the phone; null where the system does not say. Memory is the process's, see [ProcessMemory]. */
interface Probe {
    fun nowNs(): Long

    fun thermal(): ThermalState

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
     * reason that nothing was measured. `progress` (runs done, runs in all) may throw to stop. What cannot be measured is null in the result, with the reason.
     */
    fun run(
        artifact: Artifact,
        sha256: String,
        runtime: String,
        progress: (Int, Int) -> Unit = { _, _ -> },
        open: () -> Enhancer,
    ): ArtifactReport = TODO()
}
