package edgekit.core

/** `y`, `x`: where the core starts in the picture; `height`, `width`: the core's size. Input pixels. */
data class Tile(
    val y: Int,
    val x: Int,
    val height: Int,
    val width: Int,
)

/** The tiles that cover a picture of `height` x `width`: the rules stand in toolkit/edgekit/tiles.py. Raises IllegalArgumentException for sizes that do not fit. */
class TilePlan(
    val height: Int,
    val width: Int,
    val tileHeight: Int,
    val tileWidth: Int,
    val halo: Int,
    multipleOf: Int = 1,
) {
    val coreHeight: Int get() = TODO()
    val coreWidth: Int get() = TODO()
    val rows: Int get() = TODO()
    val columns: Int get() = TODO()
    val size: Int get() = rows * columns

    fun tile(
        row: Int,
        column: Int,
    ): Tile = TODO()

    /** The picture row that each row of the tiles of row `row` reads. */
    fun sourceRows(row: Int): IntArray = TODO()

    /** The picture column that each column of the tiles of column `column` reads. */
    fun sourceColumns(column: Int): IntArray = TODO()
}
