package edgekit.core

/** From the text of manifest.json to [Manifest]: each rule of `toolkit/edgekit/manifest.schema.json` that an app depends on. */
internal object ManifestReader {
    private const val VERSION = 1L
    private const val LARGEST_TENSOR = 2e9
    private const val WHERE = ModelBundle.MANIFEST
    private val FILE = Regex("[A-Za-z0-9_][A-Za-z0-9._+-]*(/[A-Za-z0-9_][A-Za-z0-9._+-]*)*")
    private val SHA256 = Regex("[0-9a-f]{64}")

    /** Keys of what surrounds the files in other bundles, and why there must be none here. */
    private val BEYOND =
        mapOf(
            "sampler" to "the files are one step of a model, not all of it",
            "apply" to "the files give numbers, not a picture",
            "before" to "the app does no classical steps before the network",
            "after" to "the app does no classical steps after the network",
        )

    fun read(text: String): Manifest {
        val root =
            try {
                JsonPlace(WHERE, Json.parse(text), isRoot = true)
            } catch (error: Json.SyntaxError) {
                throw InvalidManifest("$WHERE: is not JSON as expected (${error.message})", error)
            }
        val version = root.key("manifest")
        val found = version.whole(1, Long.MAX_VALUE)
        if (found > VERSION) version.fail("is $found, made by a newer edgekit; expected $VERSION: update the app")
        for ((key, why) in BEYOND) root.none(key, why)
        val image = image(root.key("image"))
        val artifacts = artifacts(root.key("artifacts"), image)
        val routing = RoutingReader.read(root, image, artifacts)
        return Manifest(root.key("created").name(), model(root.key("model"), image), image, artifacts, golden(root.key("golden"), artifacts), routing)
    }

    private fun model(
        at: JsonPlace,
        image: ImageContract,
    ): Model {
        val scale = at.key("scale").int(1)
        if (scale != image.scale) at.key("scale").wrong("${image.scale}, as image.scale says")
        return Model(at.key("name").name(), at.key("licence").text(), scale)
    }

    private fun image(at: JsonPlace): ImageContract {
        val tile = at.key("tile")
        val sides = tile.list().map { it.int(1) }
        if (sides.size != 2) tile.fail("has ${sides.size} values; expected 2: height and width")
        val halo = at.key("halo").int(0)
        val multipleOf = at.key("multiple_of").int(1)
        if (2L * halo >= sides.min()) at.key("halo").wrong("less than half of the tile's ${sides.min()}: no pixels are left to take")
        if (sides.any { it % multipleOf != 0 }) tile.fail("is $sides; expected multiples of $multipleOf")
        if (halo % multipleOf != 0) at.key("halo").wrong("a multiple of $multipleOf")
        at.key("edge_rule").matching(Regex("reflect"), "reflect")
        return ImageContract(
            imageSpec(at.key("inputs").single("this app has one picture")),
            imageSpec(at.key("outputs").single("this app shows one picture")),
            at.key("scale").int(1),
            at.key("tiling").oneOf<Tiling>(),
            sides[0],
            sides[1],
            halo,
            multipleOf,
        )
    }

    private fun imageSpec(at: JsonPlace): ImageSpec {
        val channels = at.key("channels").int(1)
        val std = perChannel(at.key("std"), channels)
        if (std.any { it == 0f }) at.key("std").fail("holds 0; expected numbers to divide by")
        return ImageSpec(
            at.key("name").name(),
            channels,
            at.key("colour").oneOf<Colour>(),
            perChannel(at.key("mean"), channels),
            std,
            range(at.key("range")),
        )
    }

    private fun perChannel(
        at: JsonPlace,
        channels: Int,
    ): List<Float> {
        val found = at.list().map { it.number().toFloat() }
        if (found.size != 1 && found.size != channels) at.fail("has ${found.size} values; expected 1, or $channels: one a channel")
        return found
    }

    private fun range(at: JsonPlace): ValueRange {
        val found = at.list().map { it.number() }
        if (found.size != 2) at.fail("has ${found.size} values; expected 2: lowest and highest")
        return ValueRange(found[0], found[1])
    }

    private fun artifacts(
        at: JsonPlace,
        image: ImageContract,
    ): List<Artifact> {
        val found = at.list().map { artifact(it, image) }
        if (found.isEmpty()) at.fail("has 0 values; expected at least 1")
        for ((index, artifact) in found.withIndex()) {
            if (found.take(index).any { it.name == artifact.name }) at.list()[index].key("name").wrong("a name that no other artifact has")
        }
        return found
    }

    private fun artifact(
        at: JsonPlace,
        image: ImageContract,
    ) = Artifact(
        at.key("name").name(),
        at.key("file").matching(FILE, "a relative path of plain names"),
        at.key("backend").name(),
        at.key("delegate").text(),
        at.key("precision").name(),
        at.key("bytes").whole(1, Json.LARGEST_INTEGER),
        at.key("sha256").matching(SHA256, "a SHA-256 in 64 small hexadecimal digits"),
        tensor(at.key("inputs").single("this app has one picture"), image.input.channels, image.tileHeight, image.tileWidth, 1),
        tensor(at.key("outputs").single("this app shows one picture"), image.output.channels, image.tileHeight, image.tileWidth, image.scale),
        at.key("recipe").name(),
        at.optional("variant")?.name(),
    )

    private fun tensor(
        at: JsonPlace,
        channels: Int,
        height: Int,
        width: Int,
        scale: Int,
    ): TensorSpec {
        val layout = at.key("layout").oneOf<Layout>(small = false)
        val dtype = at.key("dtype").oneOf<DType>()
        val shape = at.key("shape")
        val sides = shape.list().map { it.whole(1) }
        val (h, w) = height.toLong() * scale to width.toLong() * scale
        val expected = if (layout == Layout.NCHW) listOf(1, channels.toLong(), h, w) else listOf(1, h, w, channels.toLong())
        if (sides != expected) shape.fail("is $sides; expected $expected: tile, scale and channels in the order $layout")
        requireMemory(shape, sides, dtype)
        return TensorSpec(at.key("name").text(), sides.map { it.toInt() }, layout, dtype, range(at.key("range")))
    }

    private fun requireMemory(
        at: JsonPlace,
        shape: List<Long>,
        dtype: DType,
    ) {
        if (shape.fold(dtype.bytes.toDouble()) { product, side -> product * side } > LARGEST_TENSOR) at.fail("is $shape; expected less than 2 GB")
    }

    private fun golden(
        at: JsonPlace,
        artifacts: List<Artifact>,
    ): Golden {
        val outputs =
            at.key("artifacts").list().map {
                val of = it.key("artifact")
                if (artifacts.none { artifact -> artifact.name == of.text() }) of.wrong("one of ${artifacts.joinToString(", ") { a -> a.name }}")
                GoldenOutput(
                    of.text(),
                    goldenTensor(it.key("outputs").single("this app shows one picture")),
                    it.key("max_abs").number(),
                    it.key("min_psnr_db").number(),
                )
            }
        return Golden(goldenTensor(at.key("inputs").single("this app has one picture")), outputs)
    }

    private fun goldenTensor(at: JsonPlace): GoldenTensor {
        val dtype = at.key("dtype").oneOf<DType>()
        val shape = at.key("shape")
        val sides = shape.list().map { it.whole(1) }
        requireMemory(shape, sides, dtype)
        val expected = sides.fold(dtype.bytes.toLong()) { product, side -> product * side }
        if (at.key("bytes").whole(1) != expected) at.key("bytes").wrong("$expected, as shape and dtype say")
        return GoldenTensor(
            at.key("file").matching(FILE, "a relative path of plain names"),
            sides.map { it.toInt() },
            at.key("layout").oneOf<Layout>(small = false),
            dtype,
            expected.toInt(),
            at.key("sha256").matching(SHA256, "a SHA-256 in 64 small hexadecimal digits"),
        )
    }
}
