package edgekit.core

/** The manifest's `routing`, and that the artifacts' variants fit it. */
internal object RoutingReader {
    private const val SCORE = "laplacian-energy"
    private val NAME = Regex("[a-z0-9]{1,32}")

    /** Null if no file is a variant. */
    fun read(
        root: JsonPlace,
        image: ImageContract,
        artifacts: List<Artifact>,
    ): Routing? {
        val at = root.optional("routing")
        val routing = at?.let { routing(it) }
        for ((place, artifact) in root.key("artifacts").list().zip(artifacts)) {
            if (routing == null && artifact.variant != null) place.key("variant").wrong("none, as there is no routing")
            if (routing != null && artifact.variant !in routing.variants) {
                place.fail("has the variant ${artifact.variant}; expected one of ${routing.variants.joinToString(", ")}")
            }
        }
        if (routing == null) return null
        if (image.tiling != Tiling.EXACT) at.fail("is of a network that sees the whole picture; expected image.tiling exact")
        for ((family, files) in artifacts.groupBy { "${it.backend} ${it.recipe}" }) {
            val (made, wanted) = files.map { it.variant.orEmpty() } to routing.variants
            if (made.sorted() != wanted.sorted()) {
                root.key("artifacts").fail("has of $family the variants ${made.joinToString(", ")}; expected one file of each: ${wanted.joinToString(", ")}")
            }
        }
        return routing
    }

    private fun routing(at: JsonPlace): Routing {
        at.key("score").matching(Regex(SCORE), SCORE)
        val names = at.key("variants").list().map { it.key("name").matching(NAME, "1 to 32 small letters and digits") }
        if (names.size < 2) at.key("variants").fail("has ${names.size} values; expected at least 2")
        if (names.toSet().size < names.size) at.key("variants").fail("holds a name twice; expected each variant once")
        val thresholds = at.key("thresholds").list().map { it.whole(0, Json.LARGEST_INTEGER) }
        if (thresholds.size != names.size - 1) at.key("thresholds").fail("has ${thresholds.size} values; expected ${names.size - 1}: one fewer than variants")
        if (thresholds.zipWithNext().any { (one, other) -> one >= other }) at.key("thresholds").fail("is $thresholds; expected rising numbers")
        return Routing(at.key("unit").oneOf<RoutingUnit>(), thresholds, names)
    }
}
