package edgekit.demo

import android.graphics.Bitmap
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraManager
import android.media.Image
import android.view.SurfaceHolder
import android.view.View
import android.widget.ImageView
import android.widget.TextView
import edgekit.core.EnhancerException
import edgekit.core.FrameStats
import edgekit.core.ImageContract
import edgekit.demo.logic.Event
import edgekit.demo.logic.ModelSession
import edgekit.demo.logic.ProblemKind
import edgekit.demo.logic.Screen
import edgekit.demo.logic.Turning
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** The finder's views, and the camera and live preview behind them. The camera is on while they are seen; main thread. */
class Finder(
    root: View,
    private val demo: Demo,
    private val taken: (ByteArray) -> Unit,
) : SurfaceHolder.Callback,
    CameraListener,
    LivePreviewListener {
    private val view = root.findViewById<FinderView>(R.id.finder)
    private val enhanced = root.findViewById<ImageView>(R.id.enhanced)
    private val stats = root.findViewById<TextView>(R.id.stats)
    private val manager = root.context.getSystemService(CameraManager::class.java)
    private val thermal = Thermal(root.context) { live?.thermal(it) }
    private var scope: CoroutineScope? = null
    private var choice: CameraChoice? = null
    private var camera: Camera? = null

    /** Set on the main thread, read by the camera's. */
    @Volatile
    private var live: LivePreview? = null
    private var isWanted = false
    private var isLiveWanted = false
    private var isTaking = false

    init {
        view.holder.addCallback(this)
    }

    /** `screen` is being shown: on Preview and Reading the camera is on. */
    fun show(screen: Screen) {
        val wasLive = isLiveWanted
        isWanted = screen is Screen.Preview
        isLiveWanted = (screen as? Screen.Preview)?.isLive ?: isLiveWanted
        stats.text = (screen as? Screen.Preview)?.note
        when {
            screen !is Screen.Preview && screen !is Screen.Reading -> stop()
            screen is Screen.Preview && scope == null -> start()
            wasLive && !isLiveWanted -> stopLive()
        }
    }

    private fun start() {
        val ours = MainScope().also { scope = it }
        ours.launch {
            val model = if (isLiveWanted) openModel() else null
            val found = if (scope === ours) chooseCamera(model?.second) else null
            if (found == null || scope !== ours) {
                model?.first?.close()
                return@launch
            }
            choice = found
            if (model != null) startLive(ours, model)
            view.size = found.finder
            openCamera()
        }
    }

    /** The activity is left. */
    fun leave() {
        isWanted = false
        stop()
    }

    private fun stop() {
        val ours = scope ?: return
        scope = null
        ours.cancel()
        stopLive()
        camera?.close()
        camera = null
        choice = null
        if (isTaking) demo.send(Event.NoPicture)
        isTaking = false
    }

    fun takePicture() {
        val (open, chosen) = (camera ?: return demo.send(Event.NoPicture)) to (choice ?: return)
        isTaking = true
        open.takePicture(Turning.ofJpeg(chosen.sensor, displayDegrees(), chosen.isFront))
    }

    private suspend fun openModel(): Pair<ModelSession, ImageContract>? =
        try {
            demo.openPreview()
        } catch (error: EnhancerException) {
            onPreviewFailed(error)
            null
        }

    private suspend fun chooseCamera(image: ImageContract?): CameraChoice? {
        try {
            val found = withContext(Dispatchers.Default) { Camera.choose(manager, image?.let { maxOf(it.tileHeight, it.tileWidth) } ?: 0) }
            if (found == null) demo.send(Event.CameraMissing)
            return found
        } catch (error: CameraAccessException) {
            demo.send(Event.Failed(ProblemKind.CAMERA_FAILED, error.message))
            return null
        }
    }

    private fun startLive(
        scope: CoroutineScope,
        model: Pair<ModelSession, ImageContract>,
    ) {
        val (session, image) = model
        live = LivePreview(scope, session, image, ::orientation, this)
        thermal.listen()
        thermal.state?.let { live?.thermal(it) }
        enhanced.visibility = View.VISIBLE
    }

    private fun stopLive() {
        live?.stop()
        live = null
        thermal.close()
        enhanced.setImageDrawable(null)
        enhanced.visibility = View.GONE
    }

    /** Once there are a camera and a surface of its size. */
    private fun openCamera() {
        val chosen = choice ?: return
        val frame = view.holder.surfaceFrame
        if (camera != null || !view.holder.surface.isValid || frame.width() != chosen.finder.width || frame.height() != chosen.finder.height) return
        camera = Camera(manager, chosen, view.holder.surface, this)
    }

    private fun orientation() = choice.let { if (it == null) Turning.ofExif(1) else Turning.ofCamera(it.sensor, displayDegrees(), it.isFront) }

    private fun displayDegrees() = 90 * (view.display?.rotation ?: 0)

    override fun surfaceCreated(holder: SurfaceHolder) {
        if (isWanted && scope == null) start()
    }

    override fun surfaceChanged(
        holder: SurfaceHolder,
        format: Int,
        width: Int,
        height: Int,
    ) = openCamera()

    override fun surfaceDestroyed(holder: SurfaceHolder) = stop()

    override fun onFrame(frame: Image) {
        live?.frame(frame)
    }

    override fun onPicture(jpeg: ByteArray) {
        view.post {
            if (isTaking) {
                isTaking = false
                taken(jpeg)
            }
        }
    }

    override fun onCameraFailed(line: String) {
        view.post { if (camera != null) demo.send(Event.Failed(ProblemKind.CAMERA_FAILED, line)) }
    }

    override fun onEnhanced(picture: Bitmap) = enhanced.setImageBitmap(picture)

    override fun onStats(
        stats: FrameStats,
        isPaused: Boolean,
    ) {
        val text = if (isPaused) R.string.preview_paused else R.string.preview_stats
        if (live != null) this.stats.text = this.stats.context.getString(text, stats.fps, stats.dropped)
    }

    override fun onPreviewFailed(error: EnhancerException) = demo.send(Event.PreviewFailed(error.message))
}
