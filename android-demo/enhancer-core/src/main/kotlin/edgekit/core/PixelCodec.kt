package edgekit.core

import java.nio.ByteBuffer

/**
 * RGB bytes to the tensor of a model file and back. `buffer` (direct, native byte order) is that tensor, for [Enhancer.run]. Nothing is allocated after the
 * constructor; one thread at a time. Raises [InvalidManifest] for a tensor or colours that it cannot convert.
 */
class PixelCodec(
    spec: TensorSpec,
    image: ImageSpec,
) {
    val height: Int
    val width: Int
    val buffer: ByteBuffer

    private val isFloat: Boolean
    private val colourOf: IntArray
    private val channelStep: Int
    private val pixelStep: Int
    private val mean: FloatArray
    private val std: FloatArray
    private val numbers: Array<FloatArray>
    private val floats: FloatArray
    private val bytes: ByteArray

    init {
        val (heightAt, widthAt, channelAt) = if (spec.layout == Layout.NCHW) Triple(2, 3, 1) else Triple(1, 2, 3)
        if (spec.shape.size != 4 || spec.shape[0] != 1 || spec.shape[channelAt] != CHANNELS) {
            throw InvalidManifest("tensor '${spec.name}' has shape ${spec.shape}; expected one picture of $CHANNELS channels")
        }
        colourOf =
            when (image.colour) {
                Colour.RGB -> intArrayOf(0, 1, 2)
                Colour.BGR -> intArrayOf(2, 1, 0)
                else -> throw InvalidManifest("'${image.name}' has the colours ${image.colour}; expected RGB or BGR")
            }
        isFloat =
            when (spec.dtype) {
                DType.FLOAT32 -> true
                DType.UINT8 -> false
                else -> throw InvalidManifest("tensor '${spec.name}' is ${spec.dtype}; expected FLOAT32 or UINT8")
            }
        height = spec.shape[heightAt]
        width = spec.shape[widthAt]
        channelStep = if (spec.layout == Layout.NCHW) height * width else 1
        pixelStep = if (spec.layout == Layout.NCHW) 1 else CHANNELS
        mean = perChannel(image.mean)
        std = perChannel(image.std)
        numbers = Array(CHANNELS) { channel -> FloatArray(256) { (it.toFloat() / 255f - mean[channel]) / std[channel] } }
        floats = FloatArray(if (isFloat) height * width * CHANNELS else 0)
        bytes = ByteArray(if (isFloat) 0 else height * width * CHANNELS)
        buffer = tensorBuffer(spec)
    }

    private val floatView = buffer.asFloatBuffer()
    private val byteView = buffer.duplicate()

    /** Fills `buffer`. Pixel (r, c) is the three bytes of `rgb` from `rows[r] + columns[c]` on; `rows` has `height` values, `columns` `width`. */
    fun encode(
        rgb: ByteArray,
        rows: IntArray,
        columns: IntArray,
    ) {
        for (channel in 0 until CHANNELS) {
            var at = channel * channelStep
            val table = numbers[channel]
            for (y in 0 until height) {
                val start = rows[y] + colourOf[channel]
                for (x in 0 until width) {
                    val value = rgb[start + columns[x]]
                    if (isFloat) floats[at] = table[value.toInt() and 255] else bytes[at] = value
                    at += pixelStep
                }
            }
        }
        floatView.clear()
        byteView.clear()
        if (isFloat) floatView.put(floats) else byteView.put(bytes)
    }

    /**
     * The rectangle `from` of `buffer` to bytes: its pixel (r, c) becomes the three bytes of `rgb` from `offset + r * rowStride + 3 * c` on. Returns whether all
     * its values were finite; infinite ones are clamped, and not-a-number becomes 0.
     */
    fun decode(
        from: PixelRect,
        rgb: ByteArray,
        offset: Int,
        rowStride: Int,
    ): Boolean {
        floatView.clear()
        byteView.clear()
        if (isFloat) floatView.get(floats) else byteView.get(bytes)
        var finite = true
        for (channel in 0 until CHANNELS) {
            for (y in 0 until from.height) {
                val source = channel * channelStep + ((from.y + y) * width + from.x) * pixelStep
                val target = offset + y * rowStride + colourOf[channel]
                if (isFloat) {
                    finite = floatRow(source, from.width, channel, rgb, target) && finite
                } else {
                    for (x in 0 until from.width) rgb[target + x * CHANNELS] = bytes[source + x * pixelStep]
                }
            }
        }
        return finite
    }

    private fun floatRow(
        source: Int,
        count: Int,
        channel: Int,
        rgb: ByteArray,
        target: Int,
    ): Boolean {
        val (scale, shift) = std[channel] to mean[channel]
        var finite = true
        for (x in 0 until count) {
            var value = floats[source + x * pixelStep] * scale + shift
            if (!(value >= 0f && value <= 1f)) {
                finite = finite && !value.isNaN() && !value.isInfinite()
                value = if (value > 1f) 1f else 0f
            }
            rgb[target + x * CHANNELS] = (value * 255f + 0.5f).toInt().toByte()
        }
        return finite
    }

    private companion object {
        const val CHANNELS = 3

        fun perChannel(values: List<Float>) = FloatArray(CHANNELS) { values[if (values.size == 1) 0 else it] }
    }
}
