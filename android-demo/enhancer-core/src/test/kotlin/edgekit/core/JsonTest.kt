package edgekit.core

import kotlin.random.Random
import kotlin.test.Test
import kotlin.test.assertEquals
import kotlin.test.assertFailsWith

class JsonTest {
    @Test
    fun valuesAreRead() {
        val table = mapOf("a" to listOf(1L, -2.5, true, false, null), "b" to emptyMap<String, Any?>())
        assertEquals(table, Json.parse(" {\"a\": [1, -2.5, true,false , null],\n\"b\":{}} "))
        assertEquals("\"\\/\b\u000C\n\r\té\uD83D\uDE00", Json.parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00E9\\ud83d\\ude00\""))
        assertEquals(listOf(0L, 1000.0, 1.5E-7, 9007199254740991L), Json.parse("[-0, 1e3, 1.5E-7, 9007199254740991]"))
    }

    @Test
    fun whatIsNotJsonIsRefused() {
        val broken =
            listOf("", " ", "{", "[", "[1", "[1,", "[1,]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}", "{\"a\":1,\"a\":2}", "'a'", "\"a", "\"\\") +
                listOf("\"\\u12", "\"\\u12G4\"", "\"\\x\"", "\"\n\"", "nul", "True", "NaN", "Infinity", "-", "01", "1.", ".5", "1e", "+1", "0x10") +
                listOf("1 2", "[1 2]", "{} {}", "\uFEFF{}") +
                listOf("1e999", "9007199254740992", "123456789012345678901234567890", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\uD800\"", "/* */1")
        for (text in broken) assertFailsWith<Json.SyntaxError>(text) { Json.parse(text) }
    }

    @Test
    fun depthIsLimited() {
        fun nested(depth: Int) = "[".repeat(depth) + "]".repeat(depth)
        Json.parse(nested(Json.DEEPEST))
        val error = assertFailsWith<Json.SyntaxError> { Json.parse(nested(Json.DEEPEST + 1)) }
        assertEquals("line 1: nested deeper than 64", error.message)
        assertFailsWith<Json.SyntaxError> { Json.parse("[".repeat(1_000_000)) }
    }

    @Test
    fun errorsAreOneLine() {
        val key = "k\\n".repeat(100)
        val message = assertFailsWith<Json.SyntaxError> { Json.parse("{\n\"a\": 1,\n\"$key\": 2, \"$key\": 3}") }.message.orEmpty()
        assertEquals(1, message.lines().size)
        assertEquals(true, message.startsWith("line 3: the key '") && message.length < 120, message)
    }

    /** Cut, doubled and swapped pieces of a real manifest: read or refused, nothing else. */
    @Test
    fun hostileTextsNeverCrash() {
        val good = Fixtures.file("manifests/small.json").readText()
        val random = Random(5)
        repeat(2000) {
            val (from, until) = List(2) { random.nextInt(good.length) }.sorted()
            val changed =
                when (random.nextInt(3)) {
                    0 -> good.removeRange(from, until)
                    1 -> good.substring(0, until) + good.substring(from)
                    else -> good.replaceRange(from, from + 1, "{}[]\",:-1e\\u\u0000\uD800".random(random).toString())
                }
            try {
                Manifest.parse(changed)
            } catch (error: InvalidManifest) {
                assertEquals(1, error.message.orEmpty().lines().size)
            }
        }
    }

    @Test
    fun whatIsWrittenIsReadBack() {
        val empty = emptyMap<String, Any?>()
        val value = mapOf("text" to "\"\\\u0001\n é \uD83D\uDE00", "numbers" to listOf(1L, -1L, 0.1, 1e-7, 1e300), "none" to null, "empty" to listOf(empty))
        assertEquals(value, Json.parse(Json.write(value)))
        assertEquals("{\n  \"a\": [\n    1,\n    true\n  ],\n  \"b\": {}\n}\n", Json.write(mapOf("a" to listOf(1, true), "b" to empty)))
        assertEquals("\"\uFFFDx\uFFFD\"\n", Json.write("\uD800x\uDC00"))
        assertFailsWith<IllegalArgumentException> { Json.write(Double.NaN) }
        assertFailsWith<IllegalArgumentException> { Json.write(Float.MAX_VALUE) }
    }
}
