package edgekit.core

/** A strict JSON reader and a writer, small enough to live here: Android's org.json forgives too much and is absent on the JVM. */
internal object Json {
    const val DEEPEST = 64
    const val LARGEST_INTEGER = 1L shl 53

    /**
     * A document: Map (in file order), List, String, Long, Double, Boolean or null. Refuses what Python's strict reader refuses too: a key that stands twice,
     * NaN and infinity, numbers that a double cannot hold, half surrogates. Raises [SyntaxError].
     */
    fun parse(text: String): Any? = JsonParser(text).document()

    /** The same types (and Int) as indented text. Raises IllegalArgumentException for anything else, and for numbers that are not finite. */
    fun write(value: Any?): String = StringBuilder().also { write(value, it, "\n") }.append('\n').toString()

    private fun write(
        value: Any?,
        out: StringBuilder,
        newLine: String,
    ) {
        when (value) {
            null, is Boolean, is Int, is Long -> out.append(value)
            is Double -> out.append(value.also { require(it.isFinite()) { "$it cannot stand in JSON" } })
            is String -> quote(value, out)
            is Map<*, *> -> writeAll(value.entries, out, newLine, "{", "}") { (key, item) ->
                quote(key as String, out)
                out.append(": ")
                write(item, out, "$newLine  ")
            }
            is List<*> -> writeAll(value, out, newLine, "[", "]") { write(it, out, "$newLine  ") }
            else -> throw IllegalArgumentException("${value.javaClass.name} cannot stand in JSON")
        }
    }

    private fun <T> writeAll(
        items: Collection<T>,
        out: StringBuilder,
        newLine: String,
        open: String,
        close: String,
        writeOne: (T) -> Unit,
    ) {
        out.append(open)
        items.forEachIndexed { index, item ->
            out.append(if (index == 0) "" else ",").append("$newLine  ")
            writeOne(item)
        }
        out.append(if (items.isEmpty()) "" else newLine).append(close)
    }

    private fun quote(
        text: String,
        out: StringBuilder,
    ) {
        out.append('"')
        text.forEachIndexed { i, c ->
            val isHalf = c.isSurrogate() && !(c.isHighSurrogate() && text.getOrNull(i + 1)?.isLowSurrogate() == true)
            val isSecondHalf = c.isLowSurrogate() && text.getOrNull(i - 1)?.isHighSurrogate() == true
            when {
                c == '"' || c == '\\' -> out.append('\\').append(c)
                c < ' ' -> out.append("\\u%04x".format(c.code))
                isHalf && !isSecondHalf -> out.append('\uFFFD')
                else -> out.append(c)
            }
        }
        out.append('"')
    }

    class SyntaxError(
        message: String,
    ) : Exception(message)
}

private class JsonParser(
    private val text: String,
) {
    private var at = 0
    private var depth = 0

    fun document(): Any? {
        val found = value()
        skipSpace()
        if (at < text.length) fail("more text after the end")
        return found
    }

    private fun value(): Any? {
        skipSpace()
        return when (val c = peek()) {
            '{' -> nested { table() }
            '[' -> nested { list() }
            '"' -> string()
            't' -> word("true", true)
            'f' -> word("false", false)
            'n' -> word("null", null)
            else -> if (c == '-' || c in '0'..'9') number() else fail("'$c' is no value")
        }
    }

    private fun <T> nested(read: () -> T): T {
        if (++depth > Json.DEEPEST) fail("nested deeper than ${Json.DEEPEST}")
        at++
        return read().also { depth-- }
    }

    private fun table(): Map<String, Any?> {
        val found = LinkedHashMap<String, Any?>()
        skipSpace()
        if (skip('}')) return found
        do {
            skipSpace()
            if (peek() != '"') fail("expected a key in quotes")
            val key = string()
            if (key in found) fail("the key '${key.shortened()}' stands twice")
            skipSpace()
            if (!skip(':')) fail("expected ':'")
            found[key] = value()
            skipSpace()
        } while (skip(','))
        if (!skip('}')) fail("expected ',' or '}'")
        return found
    }

    private fun list(): List<Any?> {
        val found = ArrayList<Any?>()
        skipSpace()
        if (skip(']')) return found
        do {
            found += value()
            skipSpace()
        } while (skip(','))
        if (!skip(']')) fail("expected ',' or ']'")
        return found
    }

    private fun string(): String {
        val found = StringBuilder()
        at++
        while (true) {
            val c = peek()
            at++
            when {
                c == '"' -> break
                c == '\\' -> found.append(escaped())
                c < ' ' -> fail("a control character in a text")
                else -> found.append(c)
            }
        }
        val halves = found.indices.count { found[it].isHighSurrogate() && found.getOrNull(it + 1)?.isLowSurrogate() == true }
        if (found.count(Char::isSurrogate) != 2 * halves) fail("text that is not Unicode")
        return found.toString()
    }

    private fun escaped(): Char {
        val c = peek()
        at++
        val plain = "\"\\/bfnrt".indexOf(c)
        if (plain >= 0) return "\"\\/\b\u000C\n\r\t"[plain]
        if (c != 'u') fail("'\\$c' is no escape")
        val digits = text.substring(at, minOf(at + 4, text.length))
        if (digits.length < 4 || !digits.all { it in '0'..'9' || it in 'a'..'f' || it in 'A'..'F' }) fail("'\\u$digits' is no escape")
        at += 4
        return digits.toInt(16).toChar()
    }

    private fun number(): Any {
        val found = NUMBER.find(text, at)?.takeIf { it.range.first == at } ?: fail("a number that is none")
        at = found.range.last + 1
        if (found.groupValues[1].isEmpty()) {
            val whole = found.value.takeIf { it.length <= MOST_DIGITS }?.toLong() ?: Long.MAX_VALUE
            if (whole >= Json.LARGEST_INTEGER || whole <= -Json.LARGEST_INTEGER) fail("the number ${found.value.shortened()} is too large")
            return whole
        }
        return found.value.toDouble().also { if (!it.isFinite()) fail("the number ${found.value.shortened()} is not finite") }
    }

    private fun <T> word(
        expected: String,
        meaning: T,
    ): T {
        if (!text.startsWith(expected, at)) fail("expected '$expected'")
        at += expected.length
        return meaning
    }

    private fun skipSpace() {
        while (at < text.length && text[at] in " \t\r\n") at++
    }

    private fun skip(c: Char): Boolean = (at < text.length && text[at] == c).also { if (it) at++ }

    private fun peek(): Char = if (at < text.length) text[at] else fail("the text ends too early")

    private fun fail(what: String): Nothing {
        val line = text.substring(0, minOf(at, text.length)).count { it == '\n' } + 1
        throw Json.SyntaxError("line $line: ${what.map { if (it < ' ') '?' else it }.joinToString("")}")
    }

    private companion object {
        const val MOST_DIGITS = 17
        val NUMBER = Regex("-?(?:0|[1-9][0-9]*)((?:\\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)")
    }
}

/** For an error's one line. */
internal fun String.shortened(most: Int = 60): String = if (length <= most) this else take(most - 3) + "..."
