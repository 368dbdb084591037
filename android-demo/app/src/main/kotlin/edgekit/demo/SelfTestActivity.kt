package edgekit.demo

import android.app.Activity
import android.content.Intent
import android.os.Bundle
import android.view.View
import android.widget.Button
import android.widget.RadioButton
import android.widget.RadioGroup
import android.widget.TextView
import edgekit.core.Artifact
import edgekit.core.ArtifactReport
import edgekit.core.EnhancerException
import edgekit.core.ThermalState
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import java.io.IOException
import java.util.Locale

/**
 * Runs the golden pair of every artifact, shows what came out, and lets the user choose the artifact of each role. From a desk:
 *
 *     adb shell am start -W -n edgekit.demo/.SelfTestActivity --ez run true [--es role preview|capture]
 */
class SelfTestActivity : Activity() {
    private val scope = MainScope()
    private val bundles by lazy { Bundles(applicationContext) }
    private val run by lazy { SelfTestRun(applicationContext, bundles) }
    private lateinit var status: TextView
    private lateinit var start: Button
    private var running: Job? = null

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_self_test)
        findViewById<View>(R.id.content).padForBars()
        status = findViewById(R.id.status)
        start = findViewById(R.id.start)
        start.setOnClickListener { test(Role.values().toList()) }
        scope.launch {
            showChoices(Role.PREVIEW, findViewById(R.id.preview_artifacts), findViewById(R.id.preview_line))
            showChoices(Role.CAPTURE, findViewById(R.id.capture_artifacts), findViewById(R.id.capture_line))
        }
        if (savedInstanceState == null) testIfWanted(intent)
    }

    /** Started again while it is on top. */
    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        testIfWanted(intent)
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    private fun testIfWanted(intent: Intent) {
        if (!intent.getBooleanExtra(EXTRA_RUN, false)) return
        val name = intent.getStringExtra(EXTRA_ROLE)
        val roles = if (name == null) Role.values().toList() else Role.values().filter { it.label == name }
        if (roles.isEmpty()) status.text = getString(R.string.no_such_role, name) else test(roles)
    }

    private suspend fun showChoices(
        role: Role,
        group: RadioGroup,
        line: TextView,
    ) {
        try {
            val (bundle, chosen) = withContext(Dispatchers.IO) { bundles.open(role).let { it to bundles.chosen(role, it) } }
            line.text = getString(R.string.role_model, bundle.manifest.model.name, bundle.manifest.model.licence)
            bundles.usable(bundle).forEach { group.addView(choice(role, it, it == chosen)) }
        } catch (error: EnhancerException) {
            line.text = error.message
        }
    }

    private fun choice(
        role: Role,
        artifact: Artifact,
        isChosen: Boolean,
    ) = RadioButton(this).apply {
        id = View.generateViewId()
        text = artifact.name
        isChecked = isChosen
        setOnClickListener { bundles.choose(role, artifact) }
    }

    private fun test(roles: List<Role>) {
        if (running?.isActive == true) return
        start.isEnabled = false
        running =
            scope.launch {
                val lines = ArrayList<String>()
                for (role in roles) {
                    lines += getString(R.string.role_title, role.label)
                    lines += test(role, lines)
                    status.text = lines.joinToString("\n")
                }
                start.isEnabled = true
            }
    }

    private suspend fun test(
        role: Role,
        before: List<String>,
    ): List<String> =
        try {
            val reports =
                run.test(role) { artifact, done, total ->
                    scope.launch { status.text = (before + getString(R.string.testing, artifact, done, total)).joinToString("\n") }
                }
            reports.flatMap(::describe) + getString(R.string.report_written, run.file(role).path)
        } catch (error: EnhancerException) {
            listOf(error.message.orEmpty())
        } catch (error: IOException) {
            listOf(error.message.orEmpty())
        } catch (_: OutOfMemoryError) {
            listOf(getString(R.string.low_memory))
        }

    private fun describe(report: ArtifactReport): List<String> {
        val golden =
            report.golden?.let {
                val verdict = getString(if (it.within) R.string.golden_within else R.string.golden_failed)
                getString(R.string.golden, verdict, number(it.psnrDb, 1), number(it.maxAbs, 5))
            } ?: getString(R.string.not_measured, report.whyNot["golden"])
        val latency =
            report.latency?.let {
                getString(R.string.latency, number(it.medianMs, 1), number(it.p90Ms, 1), it.runs, it.threads, number(it.peakMemoryMb, 1))
            } ?: getString(R.string.not_measured, report.whyNot["latency"])
        val thermal = getString(R.string.thermal, named(report.thermalBefore), named(report.thermalAfter))
        return listOf("${report.name} (${report.runtime})", golden, latency, thermal)
    }

    private fun named(state: ThermalState?) = state?.name?.lowercase() ?: "–"

    private fun number(
        value: Double?,
        digits: Int,
    ) = value?.let { String.format(Locale.getDefault(), "%.${digits}f", it) } ?: "–"

    private companion object {
        const val EXTRA_RUN = "run"
        const val EXTRA_ROLE = "role"
    }
}
