package edgekit.demo

import android.annotation.TargetApi
import android.app.ActivityManager
import android.content.Context
import android.os.Build
import android.os.SystemClock
import edgekit.core.ArtifactReport
import edgekit.core.Device
import edgekit.core.DeviceReport
import edgekit.core.ModelBundle
import edgekit.core.Probe
import edgekit.core.ProcessMemory
import edgekit.core.SelfTest
import edgekit.core.Sha256
import edgekit.core.ThermalState
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.withContext
import java.io.File
import java.io.IOException
import java.time.Instant
import java.time.temporal.ChronoUnit
import java.util.concurrent.Executors

/** Tests every artifact of a bundle that can run here, one after the other, on a thread of its own, and writes what it found. */
class SelfTestRun(
    private val context: Context,
    private val bundles: Bundles,
) {
    private val thermal = Thermal(context)

    /** `progress` (artifact, runs done, runs in all) comes on the testing thread. Raises EnhancerException, IOException if the report cannot be written. */
    suspend fun test(
        role: Role,
        progress: (String, Int, Int) -> Unit,
    ): List<ArtifactReport> =
        Executors.newSingleThreadExecutor { work -> Thread(work, "self-test") }.asCoroutineDispatcher().use { thread ->
            withContext(thread) {
                val bundle = bundles.open(role)
                val test = SelfTest(bundle, AndroidProbe(thermal))
                val reports =
                    bundles.usable(bundle).map { artifact ->
                        val runtime = bundles.runtime(artifact)
                        val sha256 = bundle.open(artifact.file).use { Sha256.of(it) }
                        test.run(
                            artifact,
                            sha256,
                            "${runtime.label} ${artifact.delegate}",
                            { done, total ->
                                ensureActive()
                                progress(artifact.name, done, total)
                            },
                        ) { runtime.prepare(role, bundle, artifact).open() }
                    }
                write(role, report(bundle, reports))
                reports
            }
        }

    /** Where `edgekit bench --on adb:SERIAL` looks for it: /sdcard/Android/data/edgekit.demo/files/. */
    fun file(role: Role): File = File(context.getExternalFilesDir(null) ?: context.filesDir, "device-report-${role.label}.json")

    /** Whole or not at all: it may be read at any time. */
    private fun write(
        role: Role,
        report: DeviceReport,
    ) {
        val file = file(role)
        val part = File("$file.part")
        part.writeText(report.toJson())
        if (!part.renameTo(file)) throw IOException("$file: cannot be written; expected free space")
    }

    private fun report(
        bundle: ModelBundle,
        reports: List<ArtifactReport>,
    ) = DeviceReport(
        app = "edgekit-android-demo ${context.packageManager.getPackageInfo(context.packageName, 0).versionName}",
        created = Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
        model = bundle.manifest.model.name,
        bundleCreated = bundle.manifest.created,
        device = device(),
        artifacts = reports,
    )

    private fun device(): Device {
        val memory = ActivityManager.MemoryInfo().also { context.getSystemService(ActivityManager::class.java).getMemoryInfo(it) }
        return Device(
            manufacturer = Build.MANUFACTURER,
            model = Build.MODEL,
            system = "Android ${Build.VERSION.RELEASE} (API ${Build.VERSION.SDK_INT})",
            processor = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) processor() else Build.HARDWARE,
            memoryMb = (memory.totalMem shr 20).toInt(),
        )
    }

    @TargetApi(Build.VERSION_CODES.S)
    private fun processor() = "${Build.SOC_MANUFACTURER} ${Build.SOC_MODEL}"
}

private class AndroidProbe(
    private val thermal: Thermal,
) : Probe {
    override fun nowNs(): Long = SystemClock.elapsedRealtimeNanos()

    override fun thermal(): ThermalState? = thermal.state

    override fun residentMemoryMb(): Double? = ProcessMemory.residentMb()

    override fun peakMemoryMb(): Double? = ProcessMemory.peakMb()
}
