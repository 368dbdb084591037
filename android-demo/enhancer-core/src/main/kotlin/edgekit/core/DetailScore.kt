package edgekit.core

/**
 * How much detail or noise a tile or picture holds, in hundredths of a squared 8-bit step: the mean squared response of a Laplacian on luma, all in whole numbers.
 * The rules stand in toolkit/edgekit/quality.py. Takes rows from top to bottom.
 */
class DetailScore private constructor(
    private val width: Int,
) {
    private var above = IntArray(width)
    private var middle = IntArray(width)
    private var below = IntArray(width)
    private var rows = 0
    private var sum = 0L

    /** A row whose pixel c is the three bytes of `rgb` from `columns(c)` on. */
    private inline fun add(
        rgb: ByteArray,
        columns: (Int) -> Int,
    ) {
        val free = above
        above = middle
        middle = below
        below = free
        for (x in 0 until width) {
            val at = columns(x)
            below[x] = (77 * level(rgb[at]) + 150 * level(rgb[at + 1]) + 29 * level(rgb[at + 2]) + 128) shr 8
        }
        rows++
        if (rows < 3) return
        for (x in 1 until width - 1) {
            val response = 4 * middle[x] - above[x] - below[x] - middle[x - 1] - middle[x + 1]
            sum += response * response
        }
    }

    private fun value(): Long = if (rows < 3 || width < 3) 0 else 100 * sum / ((rows - 2).toLong() * (width - 2))

    private fun level(byte: Byte) = byte.toInt() and 255

    companion object {
        /** Of a tile: pixel (r, c) is the three bytes of `rgb` from `rows[r] + columns[c]` on. */
        fun of(
            rgb: ByteArray,
            rows: IntArray,
            columns: IntArray,
        ): Long {
            val score = DetailScore(columns.size)
            for (row in rows) score.add(rgb) { row + columns[it] }
            return score.value()
        }

        /** Of a whole picture, which is read once, row by row. */
        fun of(source: PictureSource): Long {
            val score = DetailScore(source.width)
            val row = ByteArray(3 * source.width)
            for (y in 0 until source.height) {
                source.readRow(y, row, 0)
                score.add(row) { 3 * it }
            }
            return score.value()
        }
    }
}
