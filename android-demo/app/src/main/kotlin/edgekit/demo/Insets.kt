package edgekit.demo

import android.annotation.TargetApi
import android.graphics.Insets
import android.os.Build
import android.view.View
import android.view.WindowInsets

/** Keeps a view's content clear of the bars and the camera's cut-out; what is behind it may still reach to the edges. */
fun View.padForBars() {
    setOnApplyWindowInsetsListener { view, insets ->
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.R) {
            val bars = bars(insets)
            view.setPadding(bars.left, bars.top, bars.right, bars.bottom)
        } else {
            @Suppress("DEPRECATION")
            view.setPadding(insets.systemWindowInsetLeft, insets.systemWindowInsetTop, insets.systemWindowInsetRight, insets.systemWindowInsetBottom)
        }
        insets
    }
}

@TargetApi(Build.VERSION_CODES.R)
private fun bars(insets: WindowInsets): Insets = insets.getInsets(WindowInsets.Type.systemBars() or WindowInsets.Type.displayCutout())
