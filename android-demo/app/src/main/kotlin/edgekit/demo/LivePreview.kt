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
import edgekit.core.RgbPicture
import edgekit.core.ThermalState
import edgekit.demo.logic.Choices
import edgekit.demo.logic.ModelSession
import edgekit.demo.logic.PreviewLoop
import edgekit.demo.logic.Size
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancel
import kotlinx.coroutines.delay
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import java.util.concurrent.ConcurrentLinkedQueue

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
 * The middle of the camera's frames, enhanced, as often as the phone can: the newest frame counts, others are dropped. Main thread but for [frame]. Owns the
 * session.
 */
class LivePreview(
    parent: CoroutineScope,
    private val session: ModelSession,
    private val image: ImageContract,
    private val orientation: () -> Orientation,
    private val listener: LivePreviewListener,
) {
    private val scope = CoroutineScope(parent.coroutineContext + Job(parent.coroutineContext.job))
    private val unused = ConcurrentLinkedQueue<RgbPicture>()
    private val scheduler = PreviewScheduler<RgbPicture>(GOAL_FPS, SystemClock::elapsedRealtime) { unused.add(it) }
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

    /**
     * On the camera's thread. Only the part that one tile holds is converted, which takes less than passing the frame on would cost in care: a closed frame's
     * memory must not be read, and the camera closes all frames when it goes.
     */
    fun frame(frame: Image) {
        val turn = orientation()
        val region = Choices.previewRegion(Size(frame.height, frame.width), image, turn.swapsSides)
        val rgb = if (turn.swapsSides) picture(region.width, region.height) else picture(region.height, region.width)
        val planes = frame.planes.map { Plane(it.buffer, it.rowStride, it.pixelStride) }
        converter.convert(Frame(frame.height, frame.width, FrameFormat.YUV420, planes), rgb.rgb, region, turn)
        loop.frame(rgb)
    }

    fun thermal(state: ThermalState) = scheduler.thermal(state)

    /** Nothing is shown any more. Returns at once; the model is closed when its run has ended. */
    fun stop() {
        scope.cancel()
        scheduler.clear()
        session.close()
    }

    private suspend fun process(rgb: RgbPicture) {
        val picture = bitmap(rgb.height * image.scale, rgb.width * image.scale)
        try {
            session.enhance(rgb, BitmapSink(picture))
        } finally {
            unused.add(rgb)
        }
        listener.onEnhanced(picture)
    }

    /** One that is not used any more, or a new one. */
    private fun picture(
        height: Int,
        width: Int,
    ): RgbPicture = unused.poll()?.takeIf { it.height == height && it.width == width } ?: RgbPicture(height, width)

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
