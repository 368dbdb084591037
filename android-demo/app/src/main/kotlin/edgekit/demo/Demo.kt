package edgekit.demo

import android.app.ActivityManager
import android.app.Application
import android.graphics.Bitmap
import android.net.Uri
import android.os.Build
import edgekit.core.EnhancerException
import edgekit.core.ImageContract
import edgekit.core.ModelBundle
import edgekit.demo.logic.Effect
import edgekit.demo.logic.Event
import edgekit.demo.logic.Machine
import edgekit.demo.logic.ModelSession
import edgekit.demo.logic.PictureLimit
import edgekit.demo.logic.ProblemKind
import edgekit.demo.logic.Screen
import edgekit.demo.logic.State
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.receiveAsFlow
import kotlinx.coroutines.isActive
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import java.io.IOException

/** A picture before and after. */
class Enhanced(
    val before: Bitmap,
    val after: Bitmap,
)

/**
 * What outlives a turned screen: the state, the models, the picture at work. The activity shows `state`, sends events, and carries out the `effects` that need an
 * activity. All of it on the main thread but for the work itself. After the process was ended by the system the app starts anew: nothing is half done, for a
 * result that was not saved is gone.
 */
class Demo(
    private val application: Application,
) {
    private val scope = MainScope()
    private val bundles = Bundles(application)
    private val store = PictureStore(application.contentResolver)
    private val states = MutableStateFlow(State())
    private val activityEffects = Channel<Effect>(Channel.UNLIMITED)
    private var work: Job? = null
    private var capture: Opened? = null

    val state: StateFlow<State> get() = states

    /** ASK_PERMISSION, OPEN_SETTINGS, TAKE_PICTURE, PICK_PICTURE, LEAVE; SAVE where the user says where to. */
    val effects: Flow<Effect> = activityEffects.receiveAsFlow()

    var picture: Enhanced? = null
        private set

    private class Opened(
        val bundle: ModelBundle,
        val session: ModelSession,
    )

    init {
        readBundles()
    }

    fun send(event: Event) {
        val step = Machine.next(states.value, event)
        states.value = step.state
        step.effects.forEach(::carryOut)
    }

    /** Again, after the user has chosen other artifacts. */
    fun readBundles() {
        scope.launch {
            val (preview, capture) = withContext(Dispatchers.IO) { bundles.state(Role.PREVIEW) to bundles.state(Role.CAPTURE) }
            if (work?.isActive != true) closeCapture()
            send(Event.BundlesRead(preview, capture))
        }
    }

    /** The live preview's model, opened for one stay on the finder; the caller closes it. Raises EnhancerException. */
    suspend fun openPreview(): Pair<ModelSession, ImageContract> =
        withContext(Dispatchers.IO) {
            val bundle = bundles.open(Role.PREVIEW)
            bundles.session(Role.PREVIEW, bundle) to bundle.manifest.image
        }

    /** A picture that was taken or picked. Nobody may wait for it any more: the user has cancelled, or the system had ended the process meanwhile. */
    fun enhance(bytes: PictureBytes) {
        if (states.value.screen !is Screen.Reading) return
        work?.cancel()
        work =
            scope.launch {
                val problem =
                    try {
                        enhanced(bytes)
                        null
                    } catch (error: PictureTooLarge) {
                        Event.Failed(ProblemKind.LOW_MEMORY, error.message)
                    } catch (error: EnhancerException) {
                        Event.Failed(ProblemKind.MODEL_FAILED, error.message)
                    } catch (error: IOException) {
                        Event.Failed(ProblemKind.UNREADABLE_PICTURE, error.message)
                    } catch (_: OutOfMemoryError) {
                        Event.Failed(ProblemKind.LOW_MEMORY, null)
                    }
                if (problem != null && isActive) send(problem)
            }
    }

    private suspend fun CoroutineScope.enhanced(bytes: PictureBytes) {
        val opened = capture ?: withContext(Dispatchers.IO) { bundles.open(Role.CAPTURE).let { Opened(it, bundles.session(Role.CAPTURE, it)) } }
        capture = opened
        val scale = opened.bundle.manifest.image.scale
        val limit = PictureLimit(freeBytes(), scale, opened.session.workingBytes())
        val before = withContext(Dispatchers.IO) { readPicture(bytes, limit) }
        val after = Bitmap.createBitmap(before.bitmap.width * scale, before.bitmap.height * scale, Bitmap.Config.ARGB_8888)
        opened.session.enhance(BitmapSource(before.bitmap), BitmapSink(after)) { done, total -> launch { send(Event.TileDone(done, total)) } }
        picture = Enhanced(before.bitmap, after)
        send(Event.Enhanced(after.height, after.width, before.isReduced))
    }

    /** To a file that the user has named; null: the user has named none. */
    fun saveTo(uri: Uri?) {
        if (uri == null) send(Event.SaveEnded("no place was chosen")) else save { store.saveTo(uri, it) }
    }

    private fun save(write: (Bitmap) -> Unit) {
        val result = picture?.after ?: return
        scope.launch {
            val line =
                try {
                    withContext(Dispatchers.IO) { write(result) }
                    null
                } catch (error: IOException) {
                    error.message ?: "the picture cannot be written"
                } catch (error: SecurityException) {
                    error.message ?: "the gallery does not allow it"
                }
            send(Event.SaveEnded(line))
        }
    }

    private fun carryOut(effect: Effect) {
        when (effect) {
            Effect.STOP_WORK -> {
                work?.cancel(CancellationException("stopped by the user"))
                picture = null
            }
            Effect.FORGET_PICTURE -> picture = null
            Effect.SAVE -> save()
            else -> activityEffects.trySend(effect)
        }
    }

    /** Before Android 10 the gallery takes pictures only with a permission to write everywhere: there the user says where the file goes. */
    private fun save() {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) {
            save { store.save(it, "edgekit-${System.currentTimeMillis()}.jpg") }
        } else {
            activityEffects.trySend(Effect.SAVE)
        }
    }

    /** The system wants memory back. */
    fun memoryLow() {
        send(Event.MemoryLow)
        if (work?.isActive != true) closeCapture()
    }

    /** The activity is gone for good. */
    fun close() {
        scope.cancel()
        closeCapture()
    }

    private fun closeCapture() {
        capture?.session?.close()
        capture = null
    }

    /** What the system can still give before it starts to end apps. */
    private fun freeBytes(): Long {
        val memory = ActivityManager.MemoryInfo()
        application.getSystemService(ActivityManager::class.java).getMemoryInfo(memory)
        return maxOf(0, memory.availMem - memory.threshold)
    }
}
