package edgekit.core

import java.nio.ByteBuffer

/** The network that Python, Kotlin and Swift write alike: tests/fixtures/README.md, stitched.json. float32 NCHW, scale 2. */
internal class TestNetwork(
    private val height: Int,
    private val width: Int,
) : Enhancer {
    override val threads = 1
    var runs = 0
    var isClosed = false
    var onRun: (ByteBuffer) -> Unit = {}

    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) {
        check(!isClosed && input.isDirect && output.isDirect)
        runs++
        val values = input.asFloatBuffer()
        val results = output.asFloatBuffer()
        for (channel in 0 until 3) {
            fun at(
                y: Int,
                x: Int,
            ): Float = if (y in 0 until height && x in 0 until width) values.get((channel * height + y) * width + x) else 0f
            for (y in 0 until height) {
                for (x in 0 until width) {
                    val centre = at(y, x)
                    val mixed = (((at(y - 1, x) + at(y + 1, x)) + at(y, x - 1)) + at(y, x + 1)) * 0.125f + centre * 0.5f
                    val first = (channel * 2 * height + 2 * y) * 2 * width + 2 * x
                    results.put(first, mixed).put(first + 1, centre)
                    results.put(first + 2 * width, centre).put(first + 2 * width + 1, mixed)
                }
            }
        }
        onRun(output)
    }

    override fun close() {
        isClosed = true
    }

    companion object {
        private val RANGE = ValueRange(0.0, 1.0)
        private val PLAIN = ImageSpec("image", 3, Colour.RGB, listOf(0f), listOf(1f), RANGE)

        fun image(
            height: Int,
            width: Int,
            halo: Int,
            tiling: Tiling = Tiling.EXACT,
        ) = ImageContract(PLAIN, PLAIN, 2, tiling, height, width, halo, 1)

        fun artifact(
            height: Int,
            width: Int,
        ): Artifact {
            fun tensor(scale: Int) = TensorSpec("t", listOf(1, 3, height * scale, width * scale), Layout.NCHW, DType.FLOAT32, RANGE)
            return Artifact("test", "test.bin", "test", "", "fp32", 1, "0".repeat(64), tensor(1), tensor(2))
        }
    }
}
