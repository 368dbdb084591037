package edgekit.core

import java.nio.ByteBuffer

enum class FrameFormat {
    /** Planes Y and V, U interleaved. */
    NV21,

    /** Planes Y and U, V interleaved. */
    NV12,

    /** Planes Y, U, V with strides of their own: Android's YUV_420_888. */
    YUV420,

    /** One plane of 4 bytes a pixel; alpha is ignored. */
    BGRA,
}

enum class ColourMatrix { BT601, BT709 }

enum class ColourRange { FULL, VIDEO }

/** `data` from byte 0; the last row may end before `rowStride` does. Strides in bytes. */
class Plane(
    val data: ByteBuffer,
    val rowStride: Int,
    val pixelStride: Int,
)

/** A camera's picture, as Image.getPlanes() gives it. */
class Frame(
    val height: Int,
    val width: Int,
    val format: FrameFormat,
    val planes: List<Plane>,
)

/** Camera frames to RGB bytes; keeps its row buffers, so one a thread. */
class FrameConverter(
    val matrix: ColourMatrix = ColourMatrix.BT601,
    val range: ColourRange = ColourRange.FULL,
) {
    /**
     * Converts `region` of the frame, turned by `orientation`, into the first bytes of `rgb` (at least region.height * region.width * 3; the result's sides are
     * swapped if the orientation swaps them). Raises IllegalArgumentException if planes or region do not fit the frame.
     */
    fun convert(
        frame: Frame,
        rgb: ByteArray,
        region: PixelRect = PixelRect(0, 0, frame.height, frame.width),
        orientation: Orientation = Orientation.UPRIGHT,
    ): Unit = TODO()

    /** A new picture: see the other `convert`. */
    fun convert(
        frame: Frame,
        region: PixelRect = PixelRect(0, 0, frame.height, frame.width),
        orientation: Orientation = Orientation.UPRIGHT,
    ): RgbPicture = TODO()
}
