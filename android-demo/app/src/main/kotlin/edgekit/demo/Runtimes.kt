package edgekit.demo

import android.content.Context
import edgekit.core.Artifact
import edgekit.core.Enhancer
import edgekit.core.InvalidFile
import edgekit.core.ModelBundle
import edgekit.core.Sha256
import edgekit.executorch.ExecuTorchEnhancer
import edgekit.tflite.TfliteEnhancer
import java.io.File
import java.io.IOException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel

/** A runtime that is linked into this app. */
interface ModelRuntime {
    /** The manifest's word for it. */
    val backend: String

    /** For the self-test's report. */
    val label: String

    /** Checks the model file's sha256 and says how to open it. Raises EnhancerException. */
    fun prepare(
        role: Role,
        bundle: ModelBundle,
        artifact: Artifact,
    ): PreparedModel
}

/** `sha256`: of the file as read. `open` raises EnhancerException, LinkageError; call it on the thread that will run the model. */
class PreparedModel(
    val sha256: String,
    val open: () -> Enhancer,
)

/** The table of runtimes: to do without one, delete its line here and its dependency in build.gradle.kts. */
fun modelRuntimes(context: Context): List<ModelRuntime> = listOf(ExecuTorchRuntime(context), TfliteRuntime(context))

/** Two to four large cores do the work; more threads only wait for each other. */
private val threads: Int get() = Runtime.getRuntime().availableProcessors().coerceIn(1, 4)

/** ExecuTorch maps a file of the file system: the model is copied out of the APK once, under its sha256. */
private class ExecuTorchRuntime(
    private val context: Context,
) : ModelRuntime {
    override val backend = ExecuTorchEnhancer.BACKEND
    override val label = "ExecuTorch"

    override fun prepare(
        role: Role,
        bundle: ModelBundle,
        artifact: Artifact,
    ): PreparedModel {
        val folder = File(context.noBackupFilesDir, "models")
        if (!folder.isDirectory && !folder.mkdirs()) throw InvalidFile("$folder: cannot be made; expected free space")
        val copy = File(folder, "${artifact.sha256}.pte")
        val sha256 = bundle.copy(artifact, copy)
        return PreparedModel(sha256) { ExecuTorchEnhancer.open(copy, artifact, threads) }
    }
}

/** LiteRT takes a mapped part of the APK: the model is stored there uncompressed (noCompress in build.gradle.kts). */
private class TfliteRuntime(
    private val context: Context,
) : ModelRuntime {
    override val backend = TfliteEnhancer.BACKEND
    override val label = "LiteRT"

    override fun prepare(
        role: Role,
        bundle: ModelBundle,
        artifact: Artifact,
    ): PreparedModel {
        val path = "${role.folder}/${artifact.file}"
        try {
            val sha256 = bundle.open(artifact.file).use { Sha256.of(it) }
            if (sha256 != artifact.sha256) {
                val short = 12
                throw InvalidFile("$path: has sha256 ${sha256.take(short)}, the manifest says ${artifact.sha256.take(short)}; expected an unaltered bundle")
            }
            val mapped = map(path)
            return PreparedModel(sha256) { TfliteEnhancer.open(mapped, artifact, threads) }
        } catch (error: InvalidFile) {
            throw error
        } catch (error: IOException) {
            throw InvalidFile("$path: cannot be mapped (${error.message}); expected it uncompressed in the APK: noCompress", error)
        }
    }

    private fun map(path: String): ByteBuffer =
        context.assets.openFd(path).use { file ->
            file.createInputStream().channel.use { it.map(FileChannel.MapMode.READ_ONLY, file.startOffset, file.declaredLength) }
        }
}
