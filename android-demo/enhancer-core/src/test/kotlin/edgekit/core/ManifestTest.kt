package edgekit.core

import kotlin.test.Test
import kotlin.test.assertContains
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith
import kotlin.test.assertTrue

class ManifestTest {
    private val cases = Fixtures.exact("manifests.json", "cases")

    @Test
    fun goodOnesAreRead() {
        val good = cases.filter { it.key("good").flag() }
        assertTrue(good.isNotEmpty())
        for (case in good) {
            val manifest = Manifest.parse(text(case))
            val expect = case.key("expect")
            assertEquals(expect.key("model").text(), manifest.model.name)
            assertEquals(expect.key("scale").int(1), manifest.image.scale)
            assertEquals(expect.key("tile").ints(), listOf(manifest.image.tileHeight, manifest.image.tileWidth))
            assertEquals(expect.key("halo").int(0), manifest.image.halo)
            assertEquals(expect.key("multiple_of").int(1), manifest.image.multipleOf)
            assertEquals(expect.key("tiling").oneOf<Tiling>(), manifest.image.tiling)
            assertEquals(expect.key("artifacts").list().map(::artifact), manifest.artifacts.map(::told))
            assertEquals(
                expect.key("golden").list().map { listOf(it.key("artifact").text(), it.key("max_abs").number(), it.key("min_psnr_db").number()) },
                manifest.golden.outputs.map { listOf(it.artifact, it.maxAbs, it.minPsnrDb) },
            )
            assertEquals(expect.optional("routing")?.let(::routing), manifest.routing)
            for (artifact in manifest.artifacts) {
                val siblings = manifest.siblings(artifact)
                assertEquals(manifest.routing?.variants.orEmpty(), siblings.keys.toList())
                assertTrue(siblings.isEmpty() || siblings[artifact.variant] == artifact)
            }
            assertEquals(manifest.golden.outputs.size, manifest.artifacts.count { manifest.goldenOf(it) != null })
        }
    }

    @Test
    fun brokenOnesAreRefusedInOneLineThatNamesThePlace() {
        val broken = cases.filter { !it.key("good").flag() }
        assertTrue(broken.size >= 25)
        for (case in broken) {
            val file = case.key("file").text()
            val message = assertFailsWith<InvalidManifest>(file) { Manifest.parse(text(case)) }.message.orEmpty()
            assertContains(message, case.key("where").text(), message = file)
            assertTrue(message.startsWith("manifest.json") && message.none { it < ' ' } && message.length < 300, "$file: $message")
        }
    }

    @Test
    fun messagesSayWhatTheyGotAndExpected() {
        val good = Fixtures.file("manifests/small.json").readText()

        fun message(
            from: String,
            to: String,
        ): String {
            val changed = good.replaceFirst(Regex(from), to)
            assertTrue(changed != good, from)
            return assertFailsWith<InvalidManifest> { Manifest.parse(changed) }.message.orEmpty()
        }
        assertEquals("manifest.json: image.edge_rule is 'zero'; expected reflect", message("\"reflect\"", "\"zero\""))
        assertContains(message("\"halo\": *[0-9]+", "\"halo\": 1e3"), "manifest.json: image.halo is 1000.0; expected less than half of the tile's ")
        assertContains(message("\"halo\": *[0-9]+", "\"halo\": 3000000000"), "manifest.json: image.halo is 3000000000; expected at most 2147483647")
        assertEquals(
            "manifest.json: after is an array of 1; expected none: the app does no classical steps after the network",
            message("\"manifest\": *1", "\"apply\": null, \"before\": [], \"after\": [{}], \"manifest\": 1"),
        )
        assertEquals("manifest.json: manifest is 2, made by a newer edgekit; expected 1: update the app", message("\"manifest\": *1", "\"manifest\": 2"))
    }

    @Test
    fun wholeNumbersMayHaveAFraction() {
        val good = Fixtures.file("manifests/small.json").readText()
        assertEquals(Manifest.parse(good).image, Manifest.parse(good.replace(Regex("(\"(scale|halo)\": *[0-9]+)"), "$1.0")).image)
    }

    private fun text(case: JsonPlace) = Fixtures.file("manifests/${case.key("file").text()}").readText()

    private fun artifact(expect: JsonPlace): List<Any> =
        listOf(
            expect.key("name").text(),
            expect.key("file").text(),
            expect.key("backend").text(),
            expect.key("recipe").text(),
            expect.optional("variant")?.text().orEmpty(),
            expect.key("bytes").whole(1, Long.MAX_VALUE),
            expect.key("sha256").text(),
            tensor(expect.key("input")),
            tensor(expect.key("output")),
        )

    private fun routing(expect: JsonPlace) =
        Routing(
            expect.key("unit").oneOf<RoutingUnit>(),
            expect.key("thresholds").list().map { it.whole(0) },
            expect.key("variants").list().map { it.text() },
        )

    private fun tensor(expect: JsonPlace): TensorSpec {
        val (low, high) = expect.key("range").list().map { it.number() }
        val layout = expect.key("layout").oneOf<Layout>(small = false)
        return TensorSpec(expect.key("name").text(), expect.key("shape").ints(), layout, expect.key("dtype").oneOf<DType>(), ValueRange(low, high))
    }

    private fun told(artifact: Artifact): List<Any> =
        listOf(
            artifact.name,
            artifact.file,
            artifact.backend,
            artifact.recipe,
            artifact.variant.orEmpty(),
            artifact.bytes,
            artifact.sha256,
            artifact.input,
            artifact.output,
        )
}
