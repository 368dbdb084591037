package edgekit.demo

import android.Manifest
import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ComponentCallbacks2
import android.content.Intent
import android.content.pm.PackageManager
import android.net.Uri
import android.os.Bundle
import android.provider.Settings
import edgekit.demo.logic.Effect
import edgekit.demo.logic.Event
import edgekit.demo.logic.Permission
import edgekit.demo.logic.ProblemKind
import edgekit.demo.logic.Screen
import edgekit.demo.logic.State
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch

/** Finder, enhancing, before and after: shows the [Demo]'s state and does what needs an activity. */
class MainActivity : Activity() {
    private lateinit var demo: Demo
    private lateinit var panels: Panels
    private lateinit var finder: Finder
    private var scope: CoroutineScope? = null
    private val back = BackKey(this) { demo.send(Event.Back) }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContentView(R.layout.activity_main)
        demo = lastNonConfigurationInstance as? Demo ?: Demo(application)
        val root = window.decorView
        panels = Panels(root, demo::send) { startActivity(Intent(this, SelfTestActivity::class.java)) }
        finder = Finder(root, demo) { demo.enhance(PictureBytes.of(it)) }
        root.findViewById<android.view.View>(R.id.content).padForBars()
    }

    override fun onStart() {
        super.onStart()
        if (isCameraAllowed()) demo.send(Event.PermissionIs(Permission.GRANTED))
        val ours = MainScope().also { scope = it }
        ours.launch { demo.state.collect(::show) }
        ours.launch { demo.effects.collect(::carryOut) }
    }

    override fun onRestart() {
        super.onRestart()
        demo.readBundles() // the self-test screen may have chosen another artifact
    }

    override fun onStop() {
        scope?.cancel()
        finder.leave()
        super.onStop()
    }

    override fun onDestroy() {
        if (!isChangingConfigurations) demo.close()
        super.onDestroy()
    }

    @Deprecated("The framework's only way to keep an object over a turn of the screen without androidx")
    override fun onRetainNonConfigurationInstance(): Any = demo

    override fun onTrimMemory(level: Int) {
        super.onTrimMemory(level)
        @Suppress("DEPRECATION") // Android 14 sends it no more, older ones do.
        val isLow = level == ComponentCallbacks2.TRIM_MEMORY_RUNNING_CRITICAL
        if (isLow || level >= ComponentCallbacks2.TRIM_MEMORY_BACKGROUND) demo.memoryLow()
    }

    @Deprecated("From Android 13 on see BackKey")
    override fun onBackPressed() = demo.send(Event.Back)

    override fun onRequestPermissionsResult(
        requestCode: Int,
        permissions: Array<String>,
        grantResults: IntArray,
    ) {
        super.onRequestPermissionsResult(requestCode, permissions, grantResults)
        val answer =
            when {
                isCameraAllowed() -> Permission.GRANTED
                grantResults.isEmpty() || shouldShowRequestPermissionRationale(Manifest.permission.CAMERA) -> Permission.DENIED
                else -> Permission.BLOCKED
            }
        demo.send(Event.PermissionIs(answer))
    }

    @Deprecated("The framework's only way to get a result without androidx")
    override fun onActivityResult(
        requestCode: Int,
        resultCode: Int,
        data: Intent?,
    ) {
        val uri = if (resultCode == RESULT_OK) data?.data else null
        when (requestCode) {
            REQUEST_PICTURE -> if (uri == null) demo.send(Event.NoPicture) else demo.enhance(PictureBytes.of(contentResolver, uri))
            REQUEST_PLACE -> demo.saveTo(uri)
        }
    }

    private fun show(state: State) {
        panels.show(state, demo.picture)
        finder.show(state.screen)
        back.isTaken = Screen.takesBack(state.screen)
    }

    private fun carryOut(effect: Effect) {
        when (effect) {
            Effect.ASK_PERMISSION -> requestPermissions(arrayOf(Manifest.permission.CAMERA), REQUEST_PERMISSION)
            Effect.OPEN_SETTINGS -> start(Intent(Settings.ACTION_APPLICATION_DETAILS_SETTINGS, Uri.fromParts("package", packageName, null)))
            Effect.TAKE_PICTURE -> finder.takePicture()
            Effect.PICK_PICTURE -> {
                val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
                if (!start(intent, REQUEST_PICTURE)) demo.send(Event.Failed(ProblemKind.UNREADABLE_PICTURE, "no app can pick pictures"))
            }
            Effect.SAVE -> {
                val intent = Intent(Intent.ACTION_CREATE_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType(PictureStore.MIME_TYPE)
                if (!start(intent.putExtra(Intent.EXTRA_TITLE, "edgekit.jpg"), REQUEST_PLACE)) demo.saveTo(null)
            }
            Effect.LEAVE -> finish()
            Effect.STOP_WORK, Effect.FORGET_PICTURE -> Unit
        }
    }

    private fun start(
        intent: Intent,
        request: Int? = null,
    ): Boolean =
        try {
            if (request == null) startActivity(intent) else startActivityForResult(intent, request)
            true
        } catch (_: ActivityNotFoundException) {
            false
        }

    private fun isCameraAllowed() = checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED

    private companion object {
        const val REQUEST_PERMISSION = 1
        const val REQUEST_PICTURE = 2
        const val REQUEST_PLACE = 3
    }
}
