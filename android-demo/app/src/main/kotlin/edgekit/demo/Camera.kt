package edgekit.demo

import android.content.Context
import android.graphics.ImageFormat
import android.hardware.camera2.CameraAccessException
import android.hardware.camera2.CameraCaptureSession
import android.hardware.camera2.CameraCharacteristics
import android.hardware.camera2.CameraDevice
import android.hardware.camera2.CameraManager
import android.hardware.camera2.CaptureFailure
import android.hardware.camera2.CaptureRequest
import android.media.Image
import android.media.ImageReader
import android.os.Handler
import android.os.HandlerThread
import android.view.Surface
import android.view.SurfaceHolder
import edgekit.demo.logic.Choices
import edgekit.demo.logic.Size

/** What of a camera is used. Sizes are the sensor's: wider than high. `sensor`: see Turning. */
class CameraChoice(
    val id: String,
    val sensor: Int,
    val isFront: Boolean,
    val finder: Size,
    val frames: Size,
    val pictures: Size,
)

/** Hears on the camera's thread. */
interface CameraListener {
    /** `frame` is closed after the call. */
    fun onFrame(frame: Image)

    fun onPicture(jpeg: ByteArray)

    /** The camera is gone. `line`: why. */
    fun onCameraFailed(line: String)
}

/**
 * An open camera: the finder's surface, frames for the live preview and single pictures, at once (a combination that every camera2 device guarantees). Opens
 * when made; the permission must be there. All work is done on a thread of its own.
 */
class Camera(
    private val manager: CameraManager,
    private val choice: CameraChoice,
    private val finder: Surface,
    private val listener: CameraListener,
) : AutoCloseable {
    private val thread = HandlerThread("camera").apply { start() }
    private val handler = Handler(thread.looper)
    private val frames = reader(choice.frames, ImageFormat.YUV_420_888, FRAMES)
    private val pictures = reader(choice.pictures, ImageFormat.JPEG, 1)
    private var device: CameraDevice? = null
    private var session: CameraCaptureSession? = null
    private var wantedTurn: Int? = null
    private var isClosed = false

    init {
        frames.setOnImageAvailableListener({ reader -> reader.acquireLatestImage()?.use(listener::onFrame) }, handler)
        pictures.setOnImageAvailableListener({ reader -> reader.acquireLatestImage()?.use { listener.onPicture(bytes(it)) } }, handler)
        handler.post { attempt { manager.openCamera(choice.id, Opening(), handler) } }
    }

    /** As soon as the camera is ready. `turn`: degrees clockwise that make the picture upright; they are noted in its EXIF data. */
    fun takePicture(turn: Int) {
        handler.post {
            wantedTurn = turn
            takeWanted()
        }
    }

    private fun takeWanted() {
        val (current, turn) = (session ?: return) to (wantedTurn ?: return)
        wantedTurn = null
        attempt {
            val request = current.device.createCaptureRequest(CameraDevice.TEMPLATE_STILL_CAPTURE)
            request.addTarget(pictures.surface)
            request.set(CaptureRequest.JPEG_ORIENTATION, turn)
            current.capture(request.build(), Taking(), handler)
        }
    }

    /** Returns at once. */
    override fun close() {
        handler.post {
            isClosed = true
            device?.close()
            frames.close()
            pictures.close()
            thread.quitSafely()
        }
    }

    private fun reader(
        size: Size,
        format: Int,
        count: Int,
    ) = ImageReader.newInstance(size.width, size.height, format, count)

    private fun bytes(picture: Image): ByteArray {
        val buffer = picture.planes[0].buffer
        return ByteArray(buffer.remaining()).also { buffer.get(it) }
    }

    private inner class Opening : CameraDevice.StateCallback() {
        override fun onOpened(camera: CameraDevice) {
            if (isClosed) return camera.close()
            device = camera
            // SessionConfiguration, which replaces this call, came with Android 9.
            @Suppress("DEPRECATION")
            attempt { camera.createCaptureSession(listOf(finder, frames.surface, pictures.surface), Starting(), handler) }
        }

        override fun onDisconnected(camera: CameraDevice) = fail("another app has taken the camera")

        override fun onError(
            camera: CameraDevice,
            error: Int,
        ) = fail("the camera reports error $error")
    }

    private inner class Starting : CameraCaptureSession.StateCallback() {
        override fun onConfigured(session: CameraCaptureSession) {
            if (isClosed) return
            this@Camera.session = session
            attempt {
                val request = session.device.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW)
                request.addTarget(finder)
                request.addTarget(frames.surface)
                request.set(CaptureRequest.CONTROL_AF_MODE, CaptureRequest.CONTROL_AF_MODE_CONTINUOUS_PICTURE)
                session.setRepeatingRequest(request.build(), null, handler)
            }
            takeWanted()
        }

        override fun onConfigureFailed(session: CameraCaptureSession) = fail("the camera does not take these sizes together")
    }

    private inner class Taking : CameraCaptureSession.CaptureCallback() {
        override fun onCaptureFailed(
            session: CameraCaptureSession,
            request: CaptureRequest,
            failure: CaptureFailure,
        ) = fail("the picture could not be taken (reason ${failure.reason})")
    }

    private inline fun attempt(work: () -> Unit) {
        if (isClosed) return
        try {
            work()
        } catch (error: CameraAccessException) {
            fail(error.message ?: "the camera cannot be used (reason ${error.reason})")
        } catch (error: SecurityException) {
            fail("the camera's permission has been taken away")
        } catch (error: IllegalStateException) {
            fail(error.message ?: "the camera has been closed")
        } catch (error: IllegalArgumentException) {
            fail(error.message ?: "the camera does not take these settings")
        }
    }

    private fun fail(line: String) {
        session = null
        device?.close()
        device = null
        if (!isClosed) listener.onCameraFailed(line)
    }

    companion object {

        /** acquireLatestImage needs one beside that which is in use. */
        private const val FRAMES = 2
        private const val FINDER_PIXELS = 1920L * 1080
        private const val PICTURE_PIXELS = 13_000_000L

        /**
         * The back camera, or the first that there is; null if there is none. `least`: pixels a side that the live preview takes. Raises
         * CameraAccessException.
         */
        fun choose(
            manager: CameraManager,
            least: Int,
        ): CameraChoice? {
            val cameras = manager.cameraIdList.map { it to manager.getCameraCharacteristics(it) }
            val (id, found) = cameras.firstOrNull { it.second[CameraCharacteristics.LENS_FACING] == CameraCharacteristics.LENS_FACING_BACK }
                ?: cameras.firstOrNull()
                ?: return null
            val map = found[CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP] ?: return null
            val sizes = { found: Array<android.util.Size>? -> found.orEmpty().map { Size(it.height, it.width) } }
            val pictures = sizes(map.getOutputSizes(ImageFormat.JPEG)).ifEmpty { return null }
            val picture = Choices.pictureSize(pictures, PICTURE_PIXELS)
            val finders = sizes(map.getOutputSizes(SurfaceHolder::class.java)).ifEmpty { return null }
            // The finder shows what the picture will hold: the same shape, if the camera has it.
            val alike = finders.filter { it.height * picture.width == it.width * picture.height }.ifEmpty { finders }
            val frames = sizes(map.getOutputSizes(ImageFormat.YUV_420_888)).ifEmpty { return null }
            return CameraChoice(
                id,
                found[CameraCharacteristics.SENSOR_ORIENTATION] ?: 0,
                found[CameraCharacteristics.LENS_FACING] == CameraCharacteristics.LENS_FACING_FRONT,
                Choices.pictureSize(alike, FINDER_PIXELS),
                Choices.frameSize(frames, least),
                picture,
            )
        }
    }
}
