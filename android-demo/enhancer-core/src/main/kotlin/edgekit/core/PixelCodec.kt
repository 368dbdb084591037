package edgekit.core

import java.nio.ByteBuffer

/** RGB bytes to the tensor of a model file and back; keeps its buffers, so one a thread. Raises [InvalidManifest] for what it cannot convert. */
class PixelCodec(
    val tensor: TensorSpec,
    val image: ImageSpec,
) {
    val height: Int get() = TODO()
    val width: Int get() = TODO()

    /** Fills the tensor. Pixel (r, c) is the three bytes at `rows[r] + 3 * columns[c]` of `rgb`. */
    fun encode(
        rgb: ByteArray,
        rows: IntArray,
        columns: IntArray,
        tensor: ByteBuffer,
    ): Unit = TODO()

    /**
     * The rectangle `from` of the tensor to bytes: its pixel (r, c) becomes the three bytes at `offset + r * rowStride + 3 * c` of `rgb`. Returns whether all
     * its values were finite (others are clamped; not-a-number becomes 0).
     */
    fun decode(
        tensor: ByteBuffer,
        from: PixelRect,
        rgb: ByteArray,
        offset: Int,
        rowStride: Int,
    ): Boolean = TODO()
}
