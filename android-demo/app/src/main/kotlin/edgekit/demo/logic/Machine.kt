package edgekit.demo.logic

/** All that the screens depend on. `cameraLine`: why there is no camera, if there is none. */
data class State(
    val screen: Screen = Screen.Starting,
    val permission: Permission = Permission.UNKNOWN,
    val hasCamera: Boolean = true,
    val preview: Bundle = Bundle.Unread,
    val capture: Bundle = Bundle.Unread,
)

sealed interface Event {
    data class BundlesRead(
        val preview: Bundle,
        val capture: Bundle,
    ) : Event

    data class PermissionIs(
        val permission: Permission,
    ) : Event

    object CameraMissing : Event

    data class Do(
        val action: Action,
    ) : Event

    object Shutter : Event

    /** The user went back without a picture, or the camera was closed before it gave one. */
    object NoPicture : Event

    data class TileDone(
        val done: Int,
        val total: Int,
    ) : Event

    data class Enhanced(
        val height: Int,
        val width: Int,
        val isReduced: Boolean,
    ) : Event

    object Cancel : Event

    object Save : Event

    /** `line` null: it is saved. */
    data class SaveEnded(
        val line: String?,
    ) : Event

    /** The live preview cannot go on. */
    data class PreviewFailed(
        val line: String?,
    ) : Event

    /** Work on a picture, or the camera, came to nothing. */
    data class Failed(
        val kind: ProblemKind,
        val line: String?,
    ) : Event

    /** The system wants memory back. */
    object MemoryLow : Event

    object Back : Event
}

/** What the app does besides showing a screen. */
enum class Effect { ASK_PERMISSION, OPEN_SETTINGS, TAKE_PICTURE, PICK_PICTURE, STOP_WORK, SAVE, FORGET_PICTURE, LEAVE }

data class Step(
    val state: State,
    val effects: List<Effect> = emptyList(),
)

/** The app's whole behaviour: a state and an event give the next state and what to do. Events that make no sense in a state change nothing. */
object Machine {
    fun next(
        state: State,
        event: Event,
    ): Step =
        when (event) {
            is Event.BundlesRead -> settle(state.copy(preview = event.preview, capture = event.capture))
            is Event.PermissionIs -> settle(state.copy(permission = event.permission))
            Event.CameraMissing -> settle(state.copy(hasCamera = false))
            is Event.PreviewFailed -> onPreview(state) { Step(it.copy(screen = Screen.Preview(false, event.line))) }
            is Event.Failed -> failed(state, event)
            Event.Back -> back(state)
            is Event.Do -> act(state, event.action)
            Event.Shutter -> onPreview(state) { capture(it, Effect.TAKE_PICTURE) }
            Event.NoPicture -> Step(if (state.screen is Screen.Reading) home(state) else state)
            is Event.TileDone -> working(state) { it.copy(screen = Screen.Enhancing(event.done, event.total)) }
            is Event.Enhanced -> working(state) { it.copy(screen = Screen.Result(event.height, event.width, event.isReduced)) }
            Event.Cancel -> if (isWorking(state)) Step(home(state), listOf(Effect.STOP_WORK)) else Step(state)
            Event.Save -> save(state)
            is Event.SaveEnded -> saved(state, event.line)
            Event.MemoryLow -> memoryLow(state)
        }

    /** The screen when nothing is under way. */
    private fun home(state: State): State = state.copy(screen = homeScreen(state))

    private fun homeScreen(state: State): Screen {
        val bundles = listOf(state.preview, state.capture)
        return when {
            Bundle.Unread in bundles -> Screen.Starting
            bundles.none { it == Bundle.Ready } -> bundleProblem(state)
            !state.hasCamera -> Screen.Problem(ProblemKind.NO_CAMERA)
            state.permission == Permission.UNKNOWN -> Screen.Starting
            state.permission == Permission.DENIED -> Screen.Problem(ProblemKind.PERMISSION_DENIED)
            state.permission == Permission.BLOCKED -> Screen.Problem(ProblemKind.PERMISSION_BLOCKED)
            else -> Screen.Preview(state.preview == Bundle.Ready, line(state.preview))
        }
    }

    private fun bundleProblem(state: State): Screen {
        val broken = listOf(state.capture, state.preview).filterIsInstance<Bundle.Broken>().firstOrNull()
        return if (broken != null) Screen.Problem(ProblemKind.BROKEN_BUNDLE, broken.line) else Screen.Problem(ProblemKind.NO_BUNDLE, line(state.capture))
    }

    private fun line(bundle: Bundle): String? =
        when (bundle) {
            is Bundle.Missing -> bundle.line
            is Bundle.Broken -> bundle.line
            else -> null
        }

    /** New facts change a screen at rest, and ask for the permission once it is known to be of use. What is under way goes on. */
    private fun settle(state: State): Step {
        if (!isAtRest(state.screen)) return Step(state)
        val settled = home(state)
        val asks = settled.screen == Screen.Starting && state.capture != Bundle.Unread && state.permission == Permission.UNKNOWN
        return Step(settled, if (asks) listOf(Effect.ASK_PERMISSION) else emptyList())
    }

    private fun isAtRest(screen: Screen) =
        screen is Screen.Starting || screen is Screen.Preview || (screen is Screen.Problem && Action.BACK !in screen.actions)

    private fun isWorking(state: State) = state.screen is Screen.Reading || state.screen is Screen.Enhancing

    private inline fun working(
        state: State,
        change: (State) -> State,
    ) = Step(if (isWorking(state)) change(state) else state)

    private inline fun onPreview(
        state: State,
        then: (State) -> Step,
    ) = if (state.screen is Screen.Preview) then(state) else Step(state)

    private fun failed(
        state: State,
        event: Event.Failed,
    ): Step {
        val problem = state.copy(screen = Screen.Problem(event.kind, event.line))
        return when {
            event.kind == ProblemKind.CAMERA_FAILED -> if (state.screen is Screen.Preview || state.screen is Screen.Reading) Step(problem) else Step(state)
            isWorking(state) -> Step(problem, listOf(Effect.FORGET_PICTURE))
            else -> Step(state)
        }
    }

    private fun back(state: State): Step =
        when (val screen = state.screen) {
            is Screen.Reading, is Screen.Enhancing -> Step(home(state), listOf(Effect.STOP_WORK))
            is Screen.Result -> if (screen.saving == Saving.UNDER_WAY) Step(state) else Step(home(state), listOf(Effect.FORGET_PICTURE))
            is Screen.Problem -> if (Action.BACK in screen.actions) Step(home(state)) else Step(state, listOf(Effect.LEAVE))
            is Screen.Preview, Screen.Starting -> Step(state, listOf(Effect.LEAVE))
        }

    private fun act(
        state: State,
        action: Action,
    ): Step {
        val screen = state.screen
        val isOffered = (screen is Screen.Problem && action in screen.actions) || (screen is Screen.Preview && action == Action.PICK)
        if (!isOffered) return Step(state)
        return when (action) {
            Action.ALLOW_CAMERA -> Step(state, listOf(Effect.ASK_PERMISSION))
            Action.OPEN_SETTINGS -> Step(state, listOf(Effect.OPEN_SETTINGS))
            Action.PICK -> capture(state, Effect.PICK_PICTURE)
            Action.BACK -> back(state)
        }
    }

    private fun capture(
        state: State,
        effect: Effect,
    ): Step =
        if (state.capture == Bundle.Ready) {
            Step(state.copy(screen = Screen.Reading), listOf(effect))
        } else {
            Step(state.copy(screen = Screen.Problem(ProblemKind.NO_CAPTURE_BUNDLE, line(state.capture))))
        }

    private fun save(state: State): Step {
        val screen = state.screen
        if (screen !is Screen.Result || screen.saving == Saving.UNDER_WAY || screen.saving == Saving.DONE) return Step(state)
        return Step(state.copy(screen = screen.copy(saving = Saving.UNDER_WAY, line = null)), listOf(Effect.SAVE))
    }

    private fun saved(
        state: State,
        line: String?,
    ): Step {
        val screen = state.screen
        if (screen !is Screen.Result || screen.saving != Saving.UNDER_WAY) return Step(state)
        return Step(state.copy(screen = screen.copy(saving = if (line == null) Saving.DONE else Saving.FAILED, line = line)))
    }

    /** A picture at work is given up before the system ends the whole app; a result that is seen is kept. */
    private fun memoryLow(state: State): Step =
        if (isWorking(state)) {
            Step(state.copy(screen = Screen.Problem(ProblemKind.LOW_MEMORY)), listOf(Effect.STOP_WORK))
        } else {
            Step(state)
        }
}
