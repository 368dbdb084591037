package edgekit.demo.logic

import edgekit.core.Artifact
import edgekit.core.Colour
import edgekit.core.DType
import edgekit.core.Golden
import edgekit.core.GoldenTensor
import edgekit.core.ImageContract
import edgekit.core.ImageSpec
import edgekit.core.Layout
import edgekit.core.Manifest
import edgekit.core.Model
import edgekit.core.TensorSpec
import edgekit.core.Tiling
import edgekit.core.ValueRange

/** Small contracts for the tests: bytes in, bytes out. */
object Samples {
    private val range = ValueRange(0.0, 255.0)

    fun image(
        tileHeight: Int = 8,
        tileWidth: Int = 8,
        halo: Int = 1,
        scale: Int = 1,
        tiling: Tiling = Tiling.EXACT,
    ): ImageContract {
        val spec = ImageSpec("image", 3, Colour.RGB, listOf(0f), listOf(1f), range)
        return ImageContract(spec, spec, scale, tiling, tileHeight, tileWidth, halo, 1)
    }

    fun artifact(
        name: String = "sample",
        backend: String = "executorch",
        side: Int = 8,
    ): Artifact {
        val tensor = TensorSpec("input", listOf(1, side, side, 3), Layout.NHWC, DType.UINT8, range)
        return Artifact(name, "$name.file", backend, "xnnpack", "int8", 1, "0".repeat(64), tensor, tensor)
    }

    fun manifest(vararg artifacts: Artifact): Manifest {
        val input = GoldenTensor("golden/input.bin", listOf(1, 8, 8, 3), Layout.NHWC, DType.UINT8, 192, "0".repeat(64))
        return Manifest("2026-11-21T10:00:00Z", Model("sample", "Apache-2.0", 1), image(), artifacts.toList(), Golden(input, emptyList()))
    }
}
