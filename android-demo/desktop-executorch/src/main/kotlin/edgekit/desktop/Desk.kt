package edgekit.desktop

import edgekit.core.Artifact
import edgekit.core.BundleFiles
import edgekit.core.Device
import edgekit.core.DeviceReport
import edgekit.core.Enhancer
import edgekit.core.EnhancerException
import edgekit.core.ModelBundle
import edgekit.core.PictureEnhancer
import edgekit.core.Probe
import edgekit.core.ProcessMemory
import edgekit.core.RgbPicture
import edgekit.core.SelfTest
import edgekit.core.Sha256
import edgekit.core.ThermalState
import java.io.File
import java.nio.ByteBuffer
import java.time.Instant
import java.time.temporal.ChronoUnit
import kotlin.system.exitProcess

/**
 * The app's core with real model files, without a phone. Pictures are raw R, G, B bytes.
 *
 *     enhance BUNDLE ARTIFACT HEIGHT WIDTH IN OUT      writes the enhanced picture; prints what took how long
 *     self-test BUNDLE REPORT                          runs every ExecuTorch file's golden pair and writes the device report
 *
 * Exit status: 0, or 2 with one line on stderr.
 */
fun main(words: Array<String>) {
    try {
        val bundle = Bundle(File(words.getOrElse(1) { "" }))
        when {
            words.size == 7 && words[0] == "enhance" -> enhance(bundle, words[2], words[3].toInt(), words[4].toInt(), File(words[5]), File(words[6]))
            words.size == 3 && words[0] == "self-test" -> File(words[2]).writeText(selfTest(bundle).toJson())
            else -> throw EnhancerException("expected: enhance BUNDLE ARTIFACT HEIGHT WIDTH IN OUT, or self-test BUNDLE REPORT")
        }
    } catch (error: EnhancerException) {
        System.err.println("error: ${error.message}")
        exitProcess(2)
    }
}

private class Bundle(val folder: File) {
    val opened = ModelBundle.open(BundleFiles { File(folder, it).inputStream() })
    val manifest get() = opened.manifest

    fun file(artifact: Artifact) = File(folder, artifact.file)

    fun sha256(artifact: Artifact) = file(artifact).inputStream().use { Sha256.of(it) }
}

private fun enhance(
    bundle: Bundle,
    name: String,
    height: Int,
    width: Int,
    from: File,
    to: File,
) {
    val manifest = bundle.manifest
    val artifact = manifest.artifacts.find { it.name == name } ?: throw EnhancerException("no artifact '$name' in ${manifest.artifacts.map { it.name }}")
    if (bundle.sha256(artifact) != artifact.sha256) throw EnhancerException("${artifact.file} is not the file that the manifest describes")
    val result = RgbPicture(height * manifest.image.scale, width * manifest.image.scale)
    Stopwatch(DesktopEnhancer(bundle.file(artifact))).use { model ->
        val enhancer = PictureEnhancer(model, artifact, manifest.image)
        val picture = RgbPicture(height, width, from.readBytes())
        val start = System.nanoTime()
        enhancer.enhance(picture, result)
        val allMs = (System.nanoTime() - start) / 1e6
        println("${model.runs} tiles, ${"%.2f".format(allMs / model.runs)} ms a tile, of which the model ${"%.2f".format(model.ms / model.runs)} ms")
    }
    to.writeBytes(result.rgb)
}

/** Times the model apart from what is around it. */
private class Stopwatch(private val model: Enhancer) : Enhancer by model {
    var runs = 0
    var ms = 0.0

    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) {
        val start = System.nanoTime()
        model.run(input, output)
        ms += (System.nanoTime() - start) / 1e6
        runs++
    }
}

private fun selfTest(bundle: Bundle): DeviceReport {
    val manifest = bundle.manifest
    val reports =
        manifest.artifacts.filter { it.backend == "executorch" }.map { artifact ->
            SelfTest(bundle.opened, Desk).run(artifact, bundle.sha256(artifact), "ExecuTorch XNNPACK") { DesktopEnhancer(bundle.file(artifact)) }
        }
    val system = listOf("os.name", "os.version").joinToString(" ") { System.getProperty(it) }
    val device = Device("", "desktop", system, System.getProperty("os.arch"), null)
    val created = Instant.now().truncatedTo(ChronoUnit.SECONDS).toString()
    return DeviceReport("edgekit-desktop 0.1.0", created, manifest.model.name, manifest.created, device, reports)
}

/** A desk does not tell how warm it is. */
private object Desk : Probe {
    override fun nowNs() = System.nanoTime()

    override fun thermal(): ThermalState? = null

    override fun residentMemoryMb() = ProcessMemory.residentMb()

    override fun peakMemoryMb() = ProcessMemory.peakMb()
}
