package edgekit.core

/** What the self-test asks the phone. `peakMemoryMb` is of the process so far; null where the system does not say. */
interface Probe {
    fun nowNs(): Long

    fun peakMemoryMb(): Double?

    fun thermal(): ThermalState
}

/** Runs the golden pair of an artifact, times the model, and says what it found. Blocking; call it on the model's thread. */
class SelfTest(
    private val bundle: ModelBundle,
    private val probe: Probe,
    private val runs: Int = 20,
    private val warmUp: Int = 3,
) {
    /**
     * `enhancer` has opened the artifact's file, whose digest was `sha256` when the app read it. `progress` (runs done, runs in all) may throw to stop.
     * What cannot be measured is null in the result, with the reason beside it.
     */
    fun run(
        artifact: Artifact,
        sha256: String,
        enhancer: Enhancer,
        progress: (Int, Int) -> Unit = { _, _ -> },
    ): ArtifactReport = TODO()

    /** The entry of an artifact that could not be opened here. */
    fun notRun(
        artifact: Artifact,
        sha256: String,
        runtime: String,
        reason: String,
    ): ArtifactReport = TODO()
}
