package edgekit.core

enum class RoutingUnit { TILE, PICTURE }

/**
 * The rule of a bundle with variants, lightest first: what scores below the first threshold is for the first variant, and so on; what is not below any is for the
 * last. `unit` is what is scored.
 */
data class Routing(
    val unit: RoutingUnit,
    val thresholds: List<Long>,
    val variants: List<String>,
) {
    fun variant(score: Long): String = variants[thresholds.count { it <= score }]
}

/** The opened files of a bundle's variants, by name, and the rule that chooses among them; the files stay the caller's to close. */
class Variants(
    private val routing: Routing,
    private val enhancers: Map<String, Enhancer>,
) {
    init {
        require(enhancers.keys.containsAll(routing.variants)) { "opened are ${enhancers.keys}; expected a file of each of ${routing.variants}" }
    }

    internal fun chooserFor(source: PictureSource): TileChooser =
        when (routing.unit) {
            RoutingUnit.TILE -> TileChooser { rgb, rows, columns -> enhancer(DetailScore.of(rgb, rows, columns)) }
            RoutingUnit.PICTURE -> enhancer(DetailScore.of(source)).let { TileChooser { _, _, _ -> it } }
        }

    private fun enhancer(score: Long) = enhancers.getValue(routing.variant(score))
}

/** Which file a tile is for. Its pixel (r, c) is the three bytes of `rgb` from `rows[r] + columns[c]` on. */
internal fun interface TileChooser {
    fun enhancerFor(
        rgb: ByteArray,
        rows: IntArray,
        columns: IntArray,
    ): Enhancer
}
