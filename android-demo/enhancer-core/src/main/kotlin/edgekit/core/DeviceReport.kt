package edgekit.core

/** The self-test's report: tests/fixtures/README.md, device_reports. `created` is ISO 8601 in UTC. */
data class DeviceReport(
    val app: String,
    val created: String,
    val model: String,
    val bundleCreated: String,
    val device: Device,
    val artifacts: List<ArtifactReport>,
) {
    fun toJson(): String = TODO()
}

data class Device(
    val manufacturer: String,
    val model: String,
    val system: String,
    val processor: String,
    val memoryMb: Int,
)

/** `whyNot` has a line for `golden` and for `latency` where they are null. */
data class ArtifactReport(
    val name: String,
    val sha256: String,
    val runtime: String,
    val golden: GoldenResult?,
    val latency: LatencyResult?,
    val thermalBefore: ThermalState,
    val thermalAfter: ThermalState,
    val whyNot: Map<String, String>,
)

/** `maxAbs` and `psnrDb` are null if a value was not finite. */
data class GoldenResult(
    val within: Boolean,
    val bitEqual: Boolean,
    val maxAbs: Double?,
    val psnrDb: Double?,
)

data class LatencyResult(
    val medianMs: Double,
    val p90Ms: Double,
    val runs: Int,
    val threads: Int,
    val peakMemoryMb: Double?,
)
