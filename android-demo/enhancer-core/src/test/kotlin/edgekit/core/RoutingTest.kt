package edgekit.core

import java.nio.ByteBuffer
import kotlin.test.Test
import kotlin.test.assertContentEquals
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class RoutingTest {
    private val network = TestNetwork(16, 16)

    @Test
    fun scoresAreThoseOfTheFixtures() {
        val cases = Fixtures.exact("routing.json", "scores")
        assertTrue(cases.size > 30)
        for (case in cases) {
            val (height, width) = case.key("height").int(1) to case.key("width").int(1)
            val rgb = case.key("rgb").bytes()
            val (name, score) = case.key("name").text() to case.key("score").whole(0)
            assertEquals(score, DetailScore.of(rgb, IntArray(height) { 3 * width * it }, IntArray(width) { 3 * it }), "$name, as a tile")
            assertEquals(score, DetailScore.of(RgbPicture(height, width, rgb)), "$name, as a picture")
        }
    }

    @Test
    fun rulesNameTheVariantsOfTheFixtures() {
        for (case in Fixtures.exact("routing.json", "rules")) {
            val variants = case.key("variants").list().map { it.text() }
            val rule = Routing(RoutingUnit.TILE, case.key("thresholds").list().map { it.whole(0) }, variants)
            assertEquals(case.key("routes").list().map { it.text() }, case.key("scores").list().map { rule.variant(it.whole(0)) })
        }
    }

    @Test
    fun picturesGoThroughTheVariantsOfTheFixtures() {
        for (case in Fixtures.exact("routing.json", "pictures")) {
            val (tileHeight, tileWidth) = case.key("tile").ints()
            val unit = case.key("unit").oneOf<RoutingUnit>()
            val runs = ArrayList<String>()
            val heavy = TestNetwork(tileHeight, tileWidth).apply { onRun = { runs += "heavy" } }
            val light = RepeatingNetwork(tileHeight, tileWidth) { runs += "light" }
            val rule = Routing(unit, case.key("thresholds").list().map { it.whole(0) }, listOf("light", "heavy"))
            val image = TestNetwork.image(tileHeight, tileWidth, case.key("halo").int(0))
            val picture = RgbPicture(case.key("height").int(1), case.key("width").int(1), case.key("rgb").bytes())
            val result = RgbPicture(2 * picture.height, 2 * picture.width)
            val variants = Variants(rule, mapOf("heavy" to heavy, "light" to light))
            PictureEnhancer(variants, TestNetwork.artifact(tileHeight, tileWidth), image).enhance(picture, result)
            assertContentEquals(case.key("out_rgb").bytes(), result.rgb)
            val routes = case.key("routes").list().map { it.text() }
            assertEquals(if (unit == RoutingUnit.TILE) routes else List(runs.size) { routes.single() }, runs)
        }
    }

    @Test
    fun everyVariantHasToBeOpened() {
        val rule = Routing(RoutingUnit.TILE, listOf(5), listOf("light", "heavy"))
        val error = assertFailsWith<IllegalArgumentException> { Variants(rule, mapOf("heavy" to network)) }
        assertEquals("opened are [heavy]; expected a file of each of [light, heavy]", error.message)
    }

    @Test
    fun messagesOfRulesThatDoNotFit() {
        val good = Fixtures.file("manifests/variants.json").readText()

        fun message(
            from: String,
            to: String,
        ): String {
            val changed = good.replaceFirst(from, to)
            assertTrue(changed != good, from)
            return assertFailsWith<InvalidManifest> { Manifest.parse(changed) }.message.orEmpty()
        }
        val at = "manifest.json: routing"
        assertEquals("$at.score is 'niqe'; expected laplacian-energy", message("laplacian-energy", "niqe"))
        assertEquals("$at.unit is 'row'; expected one of tile, picture", message("\"tile\",", "\"row\","))
        assertEquals("$at.thresholds is [100, 50]; expected rising numbers", message("400", "50"))
        assertEquals(
            "manifest.json: artifacts[1] has the variant tiny; expected one of light, moderate, heavy",
            message("\"variant\": \"moderate\"", "\"variant\": \"tiny\""),
        )
        assertEquals(
            "manifest.json: artifacts has of executorch int8 the variants heavy, heavy, light; expected one file of each: light, moderate, heavy",
            message("\"variant\": \"moderate\"", "\"variant\": \"heavy\""),
        )
    }
}

/** The light network of routing.json: each pixel four times. */
private class RepeatingNetwork(
    private val height: Int,
    private val width: Int,
    private val onRun: () -> Unit,
) : Enhancer {
    override val threads = 1

    override fun run(
        input: ByteBuffer,
        output: ByteBuffer,
    ) {
        val (values, results) = input.asFloatBuffer() to output.asFloatBuffer()
        for (row in 0 until 3 * 2 * height) {
            for (x in 0 until 2 * width) results.put(row * 2 * width + x, values.get(row / 2 * width + x / 2))
        }
        onRun()
    }

    override fun close() = Unit
}
