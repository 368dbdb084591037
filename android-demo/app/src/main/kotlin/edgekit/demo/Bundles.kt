package edgekit.demo

import android.content.Context
import android.content.res.AssetManager
import edgekit.core.Artifact
import edgekit.core.BundleFiles
import edgekit.core.EnhancerException
import edgekit.core.InvalidFile
import edgekit.core.ModelBundle
import edgekit.demo.logic.Bundle
import edgekit.demo.logic.Choices
import edgekit.demo.logic.ModelSession

/** What a bundle is for. Its folder is app/src/main/assets/bundles/ and the name in small letters: `edgekit bundle ... --into android-demo --as preview`. */
enum class Role {
    PREVIEW,
    CAPTURE,
    ;

    val label: String get() = name.lowercase()
    val folder: String get() = "bundles/$label"
}

/** The bundles in the app's assets, and which of their artifacts are used. Reads files: not for the main thread. */
class Bundles(
    private val context: Context,
) {
    private val choices = context.getSharedPreferences("artifacts", Context.MODE_PRIVATE)
    val runtimes: List<ModelRuntime> = modelRuntimes(context)

    /** Raises EnhancerException: there is no such bundle, or it cannot be used. */
    fun open(role: Role): ModelBundle {
        if (!isThere(context.assets, role)) throw InvalidFile("${role.folder}: not in the app; expected it from `edgekit bundle --as ${role.label}`")
        val bundle = ModelBundle.open(files(role))
        if (bundle.manifest.routing != null) {
            throw InvalidFile("${role.folder}: its files are variants, chosen tile by tile; expected one network: this app opens one file")
        }
        if (usable(bundle).isEmpty()) {
            val needed = bundle.manifest.artifacts.map { it.backend }.distinct()
            throw EnhancerException("${role.folder}: is for $needed, the app is linked with ${runtimes.map { it.backend }}; expected one of them")
        }
        return bundle
    }

    fun state(role: Role): Bundle =
        try {
            open(role)
            Bundle.Ready
        } catch (error: EnhancerException) {
            if (isThere(context.assets, role)) Bundle.Broken(error.message.orEmpty()) else Bundle.Missing(error.message.orEmpty())
        }

    fun usable(bundle: ModelBundle): List<Artifact> = Choices.usable(bundle.manifest, runtimes.map { it.backend })

    /** The artifact that the user has chosen, or the manifest's first that can run here. */
    fun chosen(
        role: Role,
        bundle: ModelBundle,
    ): Artifact =
        Choices.artifact(bundle.manifest, runtimes.map { it.backend }, choices.getString(role.label, null))
            ?: throw EnhancerException("${role.folder}: no artifact can run here; expected one for ${runtimes.map { it.backend }}")

    fun choose(
        role: Role,
        artifact: Artifact,
    ) = choices.edit().putString(role.label, artifact.name).apply()

    /** The file is opened on the session's thread, when it is first used. */
    fun session(
        role: Role,
        bundle: ModelBundle,
    ): ModelSession {
        val artifact = chosen(role, bundle)
        return ModelSession(artifact, bundle.manifest.image) { runtime(artifact).prepare(role, bundle, artifact).open() }
    }

    fun runtime(artifact: Artifact): ModelRuntime = runtimes.first { it.backend == artifact.backend }

    private fun files(role: Role) = BundleFiles { path -> context.assets.open("${role.folder}/$path") }

    private fun isThere(
        assets: AssetManager,
        role: Role,
    ) = !assets.list(role.folder).isNullOrEmpty()
}
