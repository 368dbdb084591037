package edgekit.demo

import android.annotation.TargetApi
import android.app.Activity
import android.os.Build
import android.window.OnBackInvokedCallback
import android.window.OnBackInvokedDispatcher

/** Going back, from Android 13 on: the system asks beforehand who will take it, so that it can show where back leads. Before, onBackPressed does. */
class BackKey(
    private val activity: Activity,
    private val pressed: () -> Unit,
) {
    private var registered: Any? = null

    /** Whether the app itself takes the next press. */
    var isTaken: Boolean = false
        set(value) {
            if (field == value) return
            field = value
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) if (value) register() else unregister()
        }

    @TargetApi(Build.VERSION_CODES.TIRAMISU)
    private fun register() {
        val callback = OnBackInvokedCallback { pressed() }
        activity.onBackInvokedDispatcher.registerOnBackInvokedCallback(OnBackInvokedDispatcher.PRIORITY_DEFAULT, callback)
        registered = callback
    }

    @TargetApi(Build.VERSION_CODES.TIRAMISU)
    private fun unregister() {
        (registered as? OnBackInvokedCallback)?.let(activity.onBackInvokedDispatcher::unregisterOnBackInvokedCallback)
        registered = null
    }
}
