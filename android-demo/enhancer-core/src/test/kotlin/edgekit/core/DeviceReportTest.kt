package edgekit.core

import kotlin.test.Test
import kotlin.test.assertEquals

class DeviceReportTest {
    private val whole = Json.parse(Fixtures.file("device_reports/whole.json").readText())

    @Test
    fun theReportHasTheKeysAndTypesOfTheFixture() {
        val measured =
            ArtifactReport(
                "edsr-executorch-int8",
                "d".repeat(64),
                "ExecuTorch 1.1 XNNPACK",
                GoldenResult(true, false, 0.0004, 71.2),
                LatencyResult(31.5, 35.0, 20, 4, 84.0),
                ThermalState.NONE,
                ThermalState.LIGHT,
                emptyMap(),
            )
        assertEquals(shape(whole), shape(Json.parse(report(measured, measured).toJson())))
    }

    @Test
    fun whatWasNotMeasuredIsNull() {
        val nothing = ArtifactReport("a", "0".repeat(64), "", null, null, null, null, mapOf("golden" to "no\nreason", "latency" to "x".repeat(900)))
        val table = (Json.parse(report(nothing).toJson()) as Map<*, *>)["artifacts"].let { (it as List<*>).single() as Map<*, *> }
        assertEquals(listOf(null, null, null, null), listOf("golden", "latency", "thermal_before", "thermal_after").map { table[it] })
        assertEquals(mapOf("golden" to "no reason", "latency" to "x".repeat(197) + "..."), table["why_not"])
    }

    private fun report(vararg artifacts: ArtifactReport) =
        DeviceReport(
            "edgekit-android-demo 0.1.0",
            "2026-11-21T10:30:00Z",
            "edsr",
            "2026-11-21T18:54:22+00:00",
            Device("Acme", "Phone\u001B 5", "Android 14 (API 34)", "AC-1", 7600),
            artifacts.toList(),
        )

    /** Keys and kinds of values, in order. */
    private fun shape(value: Any?): Any? =
        when (value) {
            is Map<*, *> -> value.map { (key, item) -> key to shape(item) }
            is List<*> -> value.map(::shape)
            else -> value?.javaClass?.simpleName
        }
}
