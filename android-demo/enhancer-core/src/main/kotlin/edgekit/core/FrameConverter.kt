package edgekit.core

import java.nio.ByteBuffer

enum class FrameFormat(internal val planes: Int) {
    /** Y, and V, U interleaved. */
    NV21(2),

    /** Y, and U, V interleaved. */
    NV12(2),

    /** Y, U, V with strides of their own: Android's YUV_420_888. */
    YUV420(3),

    /** 4 bytes a pixel; alpha is ignored. */
    BGRA(1),
}

/**
 * How Y, U, V become R, G, B: whole numbers with 16 fractional bits. The factors follow from ITU-R BT.601 (Kr 0.299, Kb 0.114) and BT.709 (Kr 0.2126,
 * Kb 0.0722); video range stretches 16..235 and, of chroma, 16..240 to the full range.
 */
enum class ColourMatrix(
    internal val full: Coefficients,
    internal val video: Coefficients,
) {
    BT601(Coefficients(0, 65536, 91881, 22553, 46802, 116130), Coefficients(16, 76309, 104597, 25675, 53279, 132201)),
    BT709(Coefficients(0, 65536, 103206, 12276, 30679, 121609), Coefficients(16, 76309, 117489, 13975, 34925, 138438)),
}

internal class Coefficients(
    val black: Int,
    val y: Int,
    val rv: Int,
    val gu: Int,
    val gv: Int,
    val bu: Int,
)

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
    matrix: ColourMatrix = ColourMatrix.BT601,
    range: ColourRange = ColourRange.FULL,
) {
    private val factors = if (range == ColourRange.FULL) matrix.full else matrix.video
    private val rowY = Row()
    private val rowU = Row()
    private val rowV = Row()

    /**
     * Converts `region` of the frame, turned by `orientation`, into the first bytes of `rgb` (at least region.height * region.width * 3; the result's sides are
     * swapped if the orientation swaps them). Raises IllegalArgumentException if planes, region or `rgb` do not fit the frame.
     */
    fun convert(
        frame: Frame,
        rgb: ByteArray,
        region: PixelRect = PixelRect(0, 0, frame.height, frame.width),
        orientation: Orientation = Orientation.UPRIGHT,
    ) {
        region.requireInside(frame.height, frame.width)
        require(rgb.size >= 3L * region.height * region.width) { "${rgb.size} bytes for ${region.height}x${region.width} pixels; expected 3 a pixel" }
        val count = frame.format.planes
        require(frame.planes.size == count) { "${frame.format} with ${frame.planes.size} planes; expected $count" }
        val placing = Placing(region.height, region.width, orientation)
        if (frame.format == FrameFormat.BGRA) convertBgra(frame, rgb, region, placing) else convertYuv(frame, rgb, region, placing)
    }

    /** A new picture: see the other `convert`. */
    fun convert(
        frame: Frame,
        region: PixelRect = PixelRect(0, 0, frame.height, frame.width),
        orientation: Orientation = Orientation.UPRIGHT,
    ): RgbPicture {
        val swap = orientation.swapsSides
        val picture = RgbPicture(if (swap) region.width else region.height, if (swap) region.height else region.width)
        convert(frame, picture.rgb, region, orientation)
        return picture
    }

    private fun convertBgra(
        frame: Frame,
        rgb: ByteArray,
        region: PixelRect,
        placing: Placing,
    ) {
        val plane = frame.planes[0]
        val data = plane.data.duplicate()
        for (y in 0 until region.height) {
            val row = rowY.read(data, plane, region.y + y, region.x, region.width, 2)
            for (x in 0 until region.width) {
                val from = x * plane.pixelStride
                val to = 3 * placing.at(y, x)
                rgb[to] = row[from + 2]
                rgb[to + 1] = row[from + 1]
                rgb[to + 2] = row[from]
            }
        }
    }

    private fun convertYuv(
        frame: Frame,
        rgb: ByteArray,
        region: PixelRect,
        placing: Placing,
    ) {
        val planeY = frame.planes[0]
        val planeU = frame.planes[1]
        val planeV = frame.planes.last()
        // Where both chroma samples stand in one plane, the second is one byte further.
        val skipU = if (frame.format == FrameFormat.NV21) 1 else 0
        val skipV = if (frame.format == FrameFormat.NV12) 1 else 0
        val (dataY, dataU, dataV) = Triple(planeY.data.duplicate(), planeU.data.duplicate(), planeV.data.duplicate())
        val left = region.x / 2
        val chromaWidth = (region.x + region.width - 1) / 2 - left + 1
        for (y in 0 until region.height) {
            val lumas = rowY.read(dataY, planeY, region.y + y, region.x, region.width)
            val us = rowU.read(dataU, planeU, (region.y + y) / 2, left, chromaWidth, skipU)
            val vs = rowV.read(dataV, planeV, (region.y + y) / 2, left, chromaWidth, skipV)
            var to = 3 * placing.at(y, 0)
            for (x in 0 until region.width) {
                val chroma = (region.x + x) / 2 - left
                val luma = factors.y * ((lumas[x * planeY.pixelStride].toInt() and 255) - factors.black) + HALF
                val u = (us[chroma * planeU.pixelStride + skipU].toInt() and 255) - 128
                val v = (vs[chroma * planeV.pixelStride + skipV].toInt() and 255) - 128
                rgb[to] = byte(luma + factors.rv * v)
                rgb[to + 1] = byte(luma - factors.gu * u - factors.gv * v)
                rgb[to + 2] = byte(luma + factors.bu * u)
                to += 3 * placing.columnStep
            }
        }
    }

    private fun byte(sum: Int): Byte = (sum shr 16).coerceIn(0, 255).toByte()

    /** One row of a plane in an array: reading it at once is many times faster than byte by byte. */
    private class Row {
        private var bytes = ByteArray(0)

        /** The `count` samples from sample `x` of row `y` on, and `extra` bytes after the start of the last. */
        fun read(
            data: ByteBuffer,
            plane: Plane,
            y: Int,
            x: Int,
            count: Int,
            extra: Int = 0,
        ): ByteArray {
            val start = y.toLong() * plane.rowStride + x.toLong() * plane.pixelStride
            val length = (count - 1) * plane.pixelStride + 1 + extra
            val end = start + length
            require(end <= data.limit()) { "row $y needs $end bytes of a plane of ${data.limit()}; expected planes of the frame's size" }
            if (bytes.size < length) bytes = ByteArray(length)
            data.position(start.toInt())
            data.get(bytes, 0, length)
            return bytes
        }
    }

    private companion object {
        const val HALF = 32768
    }
}
