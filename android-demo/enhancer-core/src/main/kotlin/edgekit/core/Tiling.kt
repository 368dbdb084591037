package edgekit.core

/** `y`, `x`: where the core starts in the picture; `height`, `width`: the core's size. Input pixels. */
data class Tile(
    val y: Int,
    val x: Int,
    val height: Int,
    val width: Int,
)

/**
 * The tiles that cover a picture of `height` x `width`; `tileHeight` and `tileWidth` are the network's input with its halo. The rules stand in
 * toolkit/edgekit/tiles.py. Raises IllegalArgumentException for an empty picture, and for tiles that have no core or do not keep the network's phase.
 */
class TilePlan(
    val height: Int,
    val width: Int,
    val tileHeight: Int,
    val tileWidth: Int,
    val halo: Int,
    multipleOf: Int = 1,
) {
    init {
        require(height >= 1 && width >= 1) { "picture is ${height}x$width; expected at least 1x1" }
        val size = "tile ${tileHeight}x$tileWidth with halo $halo"
        require(halo >= 0 && 2L * halo < minOf(tileHeight, tileWidth)) { "$size leaves no pixels to take; expected a larger tile" }
        require(listOf(tileHeight, tileWidth, halo).all { it % multipleOf == 0 }) { "$size does not fit; expected multiples of $multipleOf" }
    }

    val coreHeight: Int = tileHeight - 2 * halo
    val coreWidth: Int = tileWidth - 2 * halo
    val rows: Int = (height - 1) / coreHeight + 1
    val columns: Int = (width - 1) / coreWidth + 1
    val size: Int get() = rows * columns

    fun tile(
        row: Int,
        column: Int,
    ): Tile {
        val (y, x) = row * coreHeight to column * coreWidth
        return Tile(y, x, minOf(coreHeight, height - y), minOf(coreWidth, width - x))
    }

    /** The picture row that each row of the tiles of row `row` reads. */
    fun sourceRows(row: Int): IntArray = IntArray(tileHeight) { reflect(row * coreHeight - halo + it, height) }

    /** The picture column that each column of the tiles of column `column` reads. */
    fun sourceColumns(column: Int): IntArray = IntArray(tileWidth) { reflect(column * coreWidth - halo + it, width) }

    internal companion object {
        /** The pixel, of `count`, that position `i` reads: mirrored at the edges, the edge not repeated, as often as needed. */
        fun reflect(
            i: Int,
            count: Int,
        ): Int {
            if (i in 0 until count) return i
            if (count == 1) return 0
            val period = 2L * (count - 1)
            val j = Math.floorMod(i.toLong(), period)
            return (if (j < count) j else period - j).toInt()
        }
    }
}
