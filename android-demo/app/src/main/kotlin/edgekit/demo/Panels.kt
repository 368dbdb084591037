package edgekit.demo

import android.view.View
import android.widget.Button
import android.widget.ProgressBar
import android.widget.SeekBar
import android.widget.TextView
import edgekit.demo.logic.Action
import edgekit.demo.logic.Event
import edgekit.demo.logic.ProblemKind
import edgekit.demo.logic.Saving
import edgekit.demo.logic.Screen
import edgekit.demo.logic.State

/** The main activity's views: one panel for each kind of screen. */
class Panels(
    root: View,
    private val send: (Event) -> Unit,
    selfTest: () -> Unit,
) {
    private val preview: View = root.findViewById(R.id.panel_preview)
    private val controls: View = root.findViewById(R.id.controls)
    private val problem: View = root.findViewById(R.id.panel_problem)
    private val progress: View = root.findViewById(R.id.panel_progress)
    private val result: View = root.findViewById(R.id.panel_result)
    private val problemTitle: TextView = root.findViewById(R.id.problem_title)
    private val problemLine: TextView = root.findViewById(R.id.problem_line)
    private val progressText: TextView = root.findViewById(R.id.progress_text)
    private val cancel: View = root.findViewById(R.id.cancel)
    private val bar: ProgressBar = root.findViewById(R.id.progress_bar)
    private val beforeAfter: BeforeAfterView = root.findViewById(R.id.before_after)
    private val divider: SeekBar = root.findViewById(R.id.divider)
    private val resultText: TextView = root.findViewById(R.id.result_text)
    private val save: Button = root.findViewById(R.id.save)
    private val actions: Map<Action, Button> =
        mapOf(
            Action.ALLOW_CAMERA to root.findViewById(R.id.allow_camera),
            Action.OPEN_SETTINGS to root.findViewById(R.id.open_settings),
            Action.PICK to root.findViewById(R.id.problem_pick),
            Action.BACK to root.findViewById(R.id.problem_back),
        )
    private var shown: Enhanced? = null

    init {
        actions.forEach { (action, button) -> button.setOnClickListener { send(Event.Do(action)) } }
        onClick(root, R.id.shutter) { send(Event.Shutter) }
        onClick(root, R.id.pick) { send(Event.Do(Action.PICK)) }
        onClick(root, R.id.self_test) { selfTest() }
        onClick(root, R.id.problem_self_test) { selfTest() }
        onClick(root, R.id.cancel) { send(Event.Cancel) }
        onClick(root, R.id.save) { send(Event.Save) }
        onClick(root, R.id.result_back) { send(Event.Back) }
        beforeAfter.dividerMoved = { divider.progress = (it * divider.max).toInt() }
        divider.setOnSeekBarChangeListener(
            object : SeekBar.OnSeekBarChangeListener {
                override fun onProgressChanged(
                    seekBar: SeekBar,
                    progress: Int,
                    fromUser: Boolean,
                ) {
                    if (fromUser) beforeAfter.divider = progress.toFloat() / seekBar.max
                }

                override fun onStartTrackingTouch(seekBar: SeekBar) = Unit

                override fun onStopTrackingTouch(seekBar: SeekBar) = Unit
            },
        )
    }

    /** `picture`: of a Result screen. */
    fun show(
        state: State,
        picture: Enhanced?,
    ) {
        val screen = state.screen
        show(preview, screen is Screen.Preview || screen is Screen.Reading)
        show(controls, screen is Screen.Preview)
        show(problem, screen is Screen.Problem)
        show(progress, screen is Screen.Starting || screen is Screen.Reading || screen is Screen.Enhancing)
        show(cancel, screen !is Screen.Starting)
        show(result, screen is Screen.Result)
        when (screen) {
            is Screen.Problem -> show(screen)
            is Screen.Enhancing -> show(screen)
            is Screen.Result -> show(screen)
            Screen.Starting, Screen.Reading -> wait(if (screen == Screen.Starting) R.string.starting else R.string.reading)
            is Screen.Preview -> Unit
        }
        if (shown !== picture) beforeAfter.show(picture?.before, picture?.after)
        shown = picture
    }

    private fun show(screen: Screen.Problem) {
        problemTitle.setText(title(screen.kind))
        problemLine.text = screen.line
        show(problemLine, screen.line != null)
        actions.forEach { (action, button) -> show(button, action in screen.actions) }
    }

    private fun show(screen: Screen.Enhancing) {
        bar.isIndeterminate = false
        bar.max = screen.total
        bar.progress = screen.done
        progressText.text = progressText.context.getString(R.string.tiles, screen.done, screen.total)
    }

    private fun wait(text: Int) {
        bar.isIndeterminate = true
        progressText.setText(text)
    }

    private fun show(screen: Screen.Result) {
        val context = resultText.context
        val size = context.getString(if (screen.isReduced) R.string.result_reduced else R.string.result_size, screen.width, screen.height)
        val saving =
            when (screen.saving) {
                Saving.NO -> null
                Saving.UNDER_WAY -> context.getString(R.string.saving)
                Saving.DONE -> context.getString(R.string.saved)
                Saving.FAILED -> context.getString(R.string.save_failed, screen.line)
            }
        resultText.text = listOfNotNull(size, saving).joinToString("\n")
        save.isEnabled = screen.saving == Saving.NO || screen.saving == Saving.FAILED
    }

    private fun title(kind: ProblemKind): Int =
        when (kind) {
            ProblemKind.PERMISSION_DENIED -> R.string.permission_denied
            ProblemKind.PERMISSION_BLOCKED -> R.string.permission_blocked
            ProblemKind.NO_CAMERA -> R.string.no_camera
            ProblemKind.CAMERA_FAILED -> R.string.camera_failed
            ProblemKind.NO_BUNDLE -> R.string.no_bundle
            ProblemKind.BROKEN_BUNDLE -> R.string.broken_bundle
            ProblemKind.NO_CAPTURE_BUNDLE -> R.string.no_capture_bundle
            ProblemKind.UNREADABLE_PICTURE -> R.string.unreadable_picture
            ProblemKind.LOW_MEMORY -> R.string.low_memory
            ProblemKind.MODEL_FAILED -> R.string.model_failed
        }

    private fun show(
        view: View,
        isVisible: Boolean,
    ) {
        view.visibility = if (isVisible) View.VISIBLE else View.GONE
    }

    private fun onClick(
        root: View,
        id: Int,
        action: () -> Unit,
    ) = root.findViewById<View>(id).setOnClickListener { action() }
}
