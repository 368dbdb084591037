package edgekit.core

/** What an app needs of manifest.json (schema version 1). Keys that it does not know are ignored: the file may be newer than the app. */
class Manifest(
    val created: String,
    val model: Model,
    val image: ImageContract,
    val artifacts: List<Artifact>,
    val golden: Golden,
    val routing: Routing? = null,
) {
    /** Variant -> its file of the artifact's backend and recipe, lightest first; of a bundle without variants, none. */
    fun siblings(artifact: Artifact): Map<String, Artifact> {
        val same = artifacts.filter { it.backend == artifact.backend && it.recipe == artifact.recipe }
        return routing?.variants.orEmpty().associateWith { name -> same.first { it.variant == name } }
    }

    /** The golden output of an artifact; null if the bundle holds none. */
    fun goldenOf(artifact: Artifact): GoldenOutput? = golden.outputs.find { it.artifact == artifact.name }

    companion object {
        /** Reads and checks the text of a manifest.json. Raises [InvalidManifest]: one line with the key's path, what it is and what was expected. */
        fun parse(text: String): Manifest = ManifestReader.read(text)
    }
}

/** `scale` and the names, for display. */
data class Model(
    val name: String,
    val licence: String,
    val scale: Int,
)

enum class Tiling {
    /** Tiles with a halo give what the whole picture gives. */
    EXACT,

    /** The picture must have the tile's size; it is never cut. */
    WHOLE,
}

/** How a picture becomes tiles and numbers. Sizes in input pixels; `tile` includes the halo. */
data class ImageContract(
    val input: ImageSpec,
    val output: ImageSpec,
    val scale: Int,
    val tiling: Tiling,
    val tileHeight: Int,
    val tileWidth: Int,
    val halo: Int,
    val multipleOf: Int,
)

enum class Colour { RGB, BGR, GREY, LUMA, MASK, SCALAR }

/** A pixel v in [0, 1] becomes (v - mean) / std. `mean` and `std` have one value, or one a channel in the order of `colour`. */
data class ImageSpec(
    val name: String,
    val channels: Int,
    val colour: Colour,
    val mean: List<Float>,
    val std: List<Float>,
    val range: ValueRange,
)

data class ValueRange(
    val lowest: Double,
    val highest: Double,
)

enum class Layout { NCHW, NHWC }

enum class DType(
    val bytes: Int,
) {
    FLOAT32(4),
    FLOAT16(2),
    UINT8(1),
    INT8(1),
}

/** One input or output of a model file. `shape` is in `layout` order. */
data class TensorSpec(
    val name: String,
    val shape: List<Int>,
    val layout: Layout,
    val dtype: DType,
    val range: ValueRange,
) {
    val bytes: Int get() = shape.fold(dtype.bytes) { product, side -> product * side }
}

/** One model file. `backend` is "executorch", "tflite", "coreml" ...; `file` a path in the bundle; `sha256` 64 small hexadecimal digits; `variant` the one of [Routing] that it is of. */
data class Artifact(
    val name: String,
    val file: String,
    val backend: String,
    val delegate: String,
    val precision: String,
    val bytes: Long,
    val sha256: String,
    val input: TensorSpec,
    val output: TensorSpec,
    val recipe: String = "",
    val variant: String? = null,
)

/** One tile in, and what each artifact gave for it where the bundle was made. */
data class Golden(
    val input: GoldenTensor,
    val outputs: List<GoldenOutput>,
)

/** A raw little-endian file of the bundle, contiguous in `layout` order. */
data class GoldenTensor(
    val file: String,
    val shape: List<Int>,
    val layout: Layout,
    val dtype: DType,
    val bytes: Int,
    val sha256: String,
)

/** On another device each value may differ by `maxAbs` (on the [0, 1] scale), and the tile must reach `minPsnrDb`. */
data class GoldenOutput(
    val artifact: String,
    val output: GoldenTensor,
    val maxAbs: Double,
    val minPsnrDb: Double,
)
