package edgekit.demo

import android.graphics.Bitmap
import android.media.Image
import android.os.SystemClock
import edgekit.core.EnhancerException
import edgekit.core.Frame
import edgekit.core.FrameConverter
import edgekit.core.FrameFormat
import edgekit.core.FrameStats
import edgekit.core.ImageContract
import edgekit.core.Orientation
import edgekit.core.Plane
import edgekit.core.PreviewScheduler
import edgekit.core.ThermalState
import edgekit.demo.logic.Choices
import edgekit.demo.logic.ModelSession
import edgekit.demo.logic.PreviewLoop
import edgekit.demo.logic.Size
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** Shows on the main thread. */
interface LivePreviewListener {
    /** `picture` is drawn into again after the next two. */
    fun onEnhanced(picture: Bitmap)

    fun onStats(
        stats: FrameStats,
        isPaused: Boolean,
    )

    fun onPreviewFailed(error: EnhancerException)
}

/**
 * The middle of the camera's frames, enhanced, as often as the phone can: the newest frame counts, others are dropped. Ends with `scope` (main thread); close
 * the session after that.
 */
class LivePreview(
    private val scope: CoroutineScope,
    private val session: ModelSession,
    private val image: ImageContract,
    private val orientation: () -> Orientation,
    private val listener: LivePreviewListener,
) {
    private val scheduler = PreviewScheduler<Image>(GOAL_FPS, SystemClock::elapsedRealtime) { it.close() }
    private val loop = PreviewLoop(scheduler, scope, { scope.launch { listener.onPreviewFailed(it) } }, ::process)
    private val converter = FrameConverter()
    private val shown = arrayOfNulls<Bitmap>(2)

    init {
        scope.launch {
            while (true) {
                delay(TICK_MS)
                loop.tick()
                listener.onStats(loop.stats, loop.isPaused)
            }
        }
    }

    /** From the camera's thread; closes the frame when it is used or dropped. */
    fun frame(frame: Image) = loop.frame(frame)

    fun thermal(state: ThermalState) = scheduler.thermal(state)

    /** No frames come any more: the one that waits is closed. */
    fun stop() = scheduler.clear()

    private suspend fun process(frame: Image) {
        val rgb = frame.use { withContext(Dispatchers.Default) { convert(it) } }
        val picture = bitmap(rgb.height * image.scale, rgb.width * image.scale)
        session.enhance(rgb, BitmapSink(picture))
        listener.onEnhanced(picture)
    }

    private fun convert(frame: Image) =
        orientation().let { turn ->
            val region = Choices.previewRegion(Size(frame.height, frame.width), image, turn.swapsSides)
            val planes = frame.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
            converter.convert(Frame(frame.height, frame.width, FrameFormat.YUV420, planes), region, turn)
        }

    /** The screen may still draw the one before. */
    private fun bitmap(
        height: Int,
        width: Int,
    ): Bitmap {
        shown.reverse()
        val free = shown[0]?.takeIf { it.height == height && it.width == width } ?: Bitmap.createBitmap(width, height, Bitmap.Config.ARGB_8888)
        shown[0] = free
        return free
    }

    private companion object {
        const val GOAL_FPS = 30
        const val TICK_MS = 100L
    }
}
