package edgekit.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class TilingTest {
    @Test
    fun plansAreThoseOfTheFixtures() {
        for (case in Fixtures.exact("tiling.json", "plans")) {
            val plan = plan(case)
            assertEquals(case.key("rows").int(1), plan.rows)
            assertEquals(case.key("columns").int(1), plan.columns)
            assertEquals(case.key("cores").list().map { it.ints() }, tiles(plan).map { listOf(it.y, it.x, it.height, it.width) })
            case.key("source_rows").list().forEachIndexed { row, rows -> assertEquals(rows.ints(), plan.sourceRows(row).toList()) }
            case.key("source_columns").list().forEachIndexed { column, columns -> assertEquals(columns.ints(), plan.sourceColumns(column).toList()) }
        }
    }

    @Test
    fun whatCannotBePlannedIsRefused() {
        for (case in Fixtures.exact("tiling.json", "refused")) assertFailsWith<IllegalArgumentException> { plan(case) }
    }

    @Test
    fun everyPixelIsCoveredOnce() {
        val random = Random(1)
        repeat(300) {
            val step = random.nextInt(1, 5)
            val halo = step * random.nextInt(0, 4)
            val (tileHeight, tileWidth) = List(2) { 2 * halo + step * random.nextInt(1, 12) }
            val (height, width) = List(2) { random.nextInt(1, 90) }
            val plan = TilePlan(height, width, tileHeight, tileWidth, halo, step)
            val hits = Array(height) { IntArray(width) }
            for (tile in tiles(plan)) {
                for (y in tile.y until tile.y + tile.height) for (x in tile.x until tile.x + tile.width) hits[y][x]++
            }
            assertTrue(hits.all { row -> row.all { it == 1 } }, "$plan: ${height}x$width, tile ${tileHeight}x$tileWidth, halo $halo")
        }
    }

    @Test
    fun tilesReadTheirOwnPixelsInsideThePicture() {
        val random = Random(2)
        repeat(300) {
            val halo = random.nextInt(0, 9)
            val side = 2 * halo + random.nextInt(1, 30)
            val count = random.nextInt(1, 200)
            val plan = TilePlan(count, 1, side, side, halo)
            for (row in 0 until plan.rows) {
                val read = plan.sourceRows(row)
                val start = plan.tile(row, 0).y - halo
                assertTrue(read.all { it in 0 until count })
                assertContentEquals(read.filterIndexed { i, _ -> start + i in 0 until count }, (maxOf(start, 0) until minOf(start + side, count)).toList())
                for (i in 1 until side) assertTrue(count == 1 || kotlin.math.abs(read[i] - read[i - 1]) == 1, "mirrored, the edge not repeated")
            }
        }
    }

    @Test
    fun farFromThePictureNothingOverflows() {
        assertEquals(0, TilePlan.reflect(Int.MIN_VALUE, 1))
        assertTrue(TilePlan.reflect(Int.MIN_VALUE, Int.MAX_VALUE) in 0 until Int.MAX_VALUE)
        assertTrue(TilePlan(Int.MAX_VALUE, 1, 64, 64, 8).rows > 0)
    }

    private fun plan(case: JsonPlace): TilePlan {
        val (height, width) = listOf("height", "width").map { case.key(it).whole(Int.MIN_VALUE.toLong()).toInt() }
        val (tileHeight, tileWidth) = case.key("tile").ints()
        return TilePlan(height, width, tileHeight, tileWidth, case.key("halo").whole(Int.MIN_VALUE.toLong()).toInt(), case.key("multiple_of").int(1))
    }

    private fun tiles(plan: TilePlan): List<Tile> = (0 until plan.rows).flatMap { row -> (0 until plan.columns).map { plan.tile(row, it) } }
}
