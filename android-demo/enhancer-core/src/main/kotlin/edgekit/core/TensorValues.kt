package edgekit.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Memory for a tensor: direct, in native byte order, of exactly `spec.bytes`. XNNPACK may read up to 16 bytes beyond an input's end, which is why some follow. */
internal fun tensorBuffer(spec: TensorSpec): ByteBuffer =
    ByteBuffer.allocateDirect(spec.bytes + 64).apply { limit(spec.bytes) }.slice().order(ByteOrder.nativeOrder())

/** Raw tensors as numbers on the [0, 1] scale in NCHW order, whatever layout and dtype they are stored in. Raises [InvalidFile] for dtypes other than float32 and uint8. */
internal object TensorValues {
    fun read(
        data: ByteArray,
        shape: List<Int>,
        layout: Layout,
        dtype: DType,
        order: ByteOrder = ByteOrder.LITTLE_ENDIAN,
    ): FloatArray {
        val values =
            when (dtype) {
                DType.FLOAT32 -> FloatArray(data.size / 4).also { ByteBuffer.wrap(data).order(order).asFloatBuffer().get(it) }
                DType.UINT8 -> FloatArray(data.size) { (data[it].toInt() and 255) / 255f }
                else -> throw unknown(dtype)
            }
        return if (layout == Layout.NHWC && shape.size == 4) FloatArray(values.size) { values[nhwc(it, shape[1] * shape[2], shape[3])] } else values
    }

    /** `values` (NCHW) to all of `buffer`, as `spec` says. Raises [InvalidFile] if they are not as many. */
    fun write(
        values: FloatArray,
        buffer: ByteBuffer,
        spec: TensorSpec,
    ) {
        val count = spec.bytes / spec.dtype.bytes
        if (values.size != count) throw InvalidFile("the golden input holds ${values.size} values, '${spec.name}' takes $count; expected the same")
        val pixels = if (spec.layout == Layout.NHWC) spec.shape[1] * spec.shape[2] else 0
        for (i in values.indices) {
            val at = if (spec.layout == Layout.NHWC) nhwc(i, pixels, spec.shape[3]) else i
            when (spec.dtype) {
                DType.FLOAT32 -> buffer.putFloat(4 * at, values[i])
                DType.UINT8 -> buffer.put(at, (values[i] * 255f + 0.5f).toInt().toByte())
                else -> throw unknown(spec.dtype)
            }
        }
    }

    /** Where value `i` of NCHW order stands in NHWC order. */
    private fun nhwc(
        i: Int,
        pixels: Int,
        channels: Int,
    ): Int = i % pixels * channels + i / pixels % channels + i / (pixels * channels) * (pixels * channels)

    private fun unknown(dtype: DType) = InvalidFile("the tensor is $dtype; expected FLOAT32 or UINT8")
}
