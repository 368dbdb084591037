package edgekit.demo.logic

/** What the main activity shows. */
sealed interface Screen {
    /** Bundles are being read, or the system asks for the permission. */
    object Starting : Screen

    /** One clear line, and what can be done about it. `line`: the reason in the words of whoever noticed it, for the developer. */
    data class Problem(
        val kind: ProblemKind,
        val line: String? = null,
    ) : Screen {
        val actions: List<Action> get() = kind.actions
    }

    /** The finder. `isLive`: the preview's bundle is usable; else `note` says why not. */
    data class Preview(
        val isLive: Boolean,
        val note: String? = null,
    ) : Screen

    /** The camera takes the picture, or a picked one is being read. */
    object Reading : Screen

    data class Enhancing(
        val done: Int,
        val total: Int,
    ) : Screen

    /** Before and after. `isReduced`: memory did not suffice for the picture's own size. */
    data class Result(
        val height: Int,
        val width: Int,
        val isReduced: Boolean,
        val saving: Saving = Saving.NO,
        val line: String? = null,
    ) : Screen

    companion object {
        /** Whether going back leads to another screen of the app, not out of it. */
        fun takesBack(screen: Screen): Boolean =
            when (screen) {
                is Reading, is Enhancing, is Result -> true
                is Problem -> Action.BACK in screen.actions
                is Starting, is Preview -> false
            }
    }
}

enum class Saving { NO, UNDER_WAY, DONE, FAILED }

enum class Action { ALLOW_CAMERA, OPEN_SETTINGS, PICK, BACK }

enum class ProblemKind(
    val actions: List<Action>,
) {
    PERMISSION_DENIED(listOf(Action.ALLOW_CAMERA, Action.PICK)),
    PERMISSION_BLOCKED(listOf(Action.OPEN_SETTINGS, Action.PICK)),
    NO_CAMERA(listOf(Action.PICK)),
    CAMERA_FAILED(listOf(Action.BACK, Action.PICK)),
    NO_BUNDLE(emptyList()),
    BROKEN_BUNDLE(emptyList()),
    NO_CAPTURE_BUNDLE(listOf(Action.BACK)),
    UNREADABLE_PICTURE(listOf(Action.BACK)),
    LOW_MEMORY(listOf(Action.BACK)),
    MODEL_FAILED(listOf(Action.BACK)),
}

enum class Permission {
    /** Not asked yet in this start of the app. */
    UNKNOWN,
    GRANTED,
    DENIED,

    /** Denied, and the system will not ask again. */
    BLOCKED,
}

/** A role's bundle: preview or capture. */
sealed interface Bundle {
    object Unread : Bundle

    object Ready : Bundle

    data class Missing(
        val line: String,
    ) : Bundle

    data class Broken(
        val line: String,
    ) : Bundle
}
