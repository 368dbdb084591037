package edgekit.core

import kotlin.math.abs
import kotlin.math.log10

/** The self-test's report for `edgekit validate --device-report`: tests/fixtures/README.md, device_reports. `created` is ISO 8601 in UTC, in whole seconds. */
data class DeviceReport(
    val app: String,
    val created: String,
    val model: String,
    val bundleCreated: String,
    val device: Device,
    val artifacts: List<ArtifactReport>,
) {
    fun toJson(): String =
        Json.write(
            mapOf(
                "device_report" to 1,
                "app" to line(app),
                "created" to created,
                "bundle" to mapOf("model" to model, "created" to bundleCreated),
                "device" to device.table(),
                "artifacts" to artifacts.map { it.table() },
            ),
        )
}

data class Device(
    val manufacturer: String,
    val model: String,
    val system: String,
    val processor: String,
    val memoryMb: Int?,
) {
    internal fun table() =
        mapOf(
            "manufacturer" to line(manufacturer),
            "model" to line(model),
            "system" to line(system),
            "processor" to line(processor),
            "memory_mb" to memoryMb,
        )
}

/** `whyNot` has a line for `golden` and for `latency` where they are null. */
data class ArtifactReport(
    val name: String,
    val sha256: String,
    val runtime: String,
    val golden: GoldenResult?,
    val latency: LatencyResult?,
    val thermalBefore: ThermalState?,
    val thermalAfter: ThermalState?,
    val whyNot: Map<String, String>,
) {
    internal fun table() =
        mapOf(
            "name" to name,
            "sha256" to sha256,
            "runtime" to line(runtime),
            "golden" to golden?.table(),
            "latency" to latency?.table(),
            "thermal_before" to thermalBefore?.name?.lowercase(),
            "thermal_after" to thermalAfter?.name?.lowercase(),
            "why_not" to whyNot.mapValues { line(it.value) },
        )
}

/** What phones and runtimes say of themselves, as the report takes it: one line of at most 200 characters. */
private fun line(text: String): String = text.map { if (it.isISOControl()) ' ' else it }.joinToString("").trim().shortened(200)

/** `maxAbs` and `psnrDb` (peak 1, at most 100) are null if a value was not finite. */
data class GoldenResult(
    val within: Boolean,
    val bitEqual: Boolean,
    val maxAbs: Double?,
    val psnrDb: Double?,
) {
    internal fun table() = mapOf("within" to within, "bit_equal" to bitEqual, "max_abs" to maxAbs, "psnr_db" to psnrDb)

    companion object {
        private const val MOST_DB = 100.0

        /** Values as they are, unclamped; as many in both. Within: finite, no difference above `maxAbs`, and at least `minPsnrDb`. */
        fun compare(
            expected: FloatArray,
            got: FloatArray,
            maxAbs: Double,
            minPsnrDb: Double,
        ): GoldenResult {
            require(expected.size == got.size && expected.isNotEmpty()) { "${got.size} values; expected ${expected.size}, at least 1" }
            val bitEqual = expected.indices.all { expected[it].toRawBits() == got[it].toRawBits() }
            if (!expected.all { it.isFinite() } || !got.all { it.isFinite() }) return GoldenResult(false, bitEqual, null, null)
            var largest = 0.0
            var squares = 0.0
            for (i in expected.indices) {
                val difference = abs(got[i].toDouble() - expected[i])
                largest = maxOf(largest, difference)
                squares += difference * difference
            }
            val psnrDb = if (squares == 0.0) MOST_DB else minOf(MOST_DB, 10 * log10(expected.size / squares))
            return GoldenResult(largest <= maxAbs && psnrDb >= minPsnrDb, bitEqual, largest, psnrDb)
        }
    }
}

/** Of one tile. `peakMemoryMb`: see [SelfTest.run]. */
data class LatencyResult(
    val medianMs: Double,
    val p90Ms: Double,
    val runs: Int,
    val threads: Int?,
    val peakMemoryMb: Double?,
) {
    internal fun table() =
        mapOf("median_ms" to medianMs, "p90_ms" to p90Ms, "runs" to runs, "threads" to threads, "peak_memory_mb" to peakMemoryMb)

    companion object {
        fun medianMs(ms: DoubleArray): Double = ms.sortedArray()[ms.size / 2]

        fun p90Ms(ms: DoubleArray): Double = ms.sortedArray()[minOf(ms.size - 1, ms.size * 9 / 10)]
    }
}
