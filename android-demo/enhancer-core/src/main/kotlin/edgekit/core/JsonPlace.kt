package edgekit.core

/** A value of a parsed JSON file and where it stands: "manifest.json: image.halo". Raises [InvalidManifest] for what is missing or of another kind. */
internal class JsonPlace(
    private val path: String,
    val value: Any?,
    private val isRoot: Boolean = false,
) {
    fun key(name: String): JsonPlace {
        val table = value as? Map<*, *> ?: wrong("an object")
        if (name !in table) throw InvalidManifest("$path: '$name' is missing")
        return JsonPlace(if (isRoot) "$path: $name" else "$path.$name", table[name])
    }

    /** Null where the key is missing or null. */
    fun optional(name: String): JsonPlace? = if ((value as? Map<*, *>)?.get(name) == null) null else key(name)

    /** The key is missing, null or an empty list. */
    fun none(
        name: String,
        why: String,
    ) {
        val found = (value as? Map<*, *>)?.get(name)
        if (found != null && (found as? List<*>)?.isEmpty() != true) key(name).wrong("none: $why")
    }

    fun list(): List<JsonPlace> = (value as? List<*> ?: wrong("an array")).mapIndexed { index, item -> JsonPlace("$path[$index]", item) }

    /** The one item of a list. */
    fun single(why: String): JsonPlace = list().run { singleOrNull() ?: fail("has $size values; expected 1: $why") }

    fun text(): String = value as? String ?: wrong("a text")

    fun name(): String = text().also { if (it.isEmpty()) wrong("a text") }

    /** Whole numbers may be written as 2.0. */
    fun whole(
        least: Long,
        most: Long = Int.MAX_VALUE.toLong(),
    ): Long {
        val number = if (value is Double && value == Math.rint(value)) value.toLong() else value as? Long ?: wrong("a whole number")
        if (number < least) wrong("at least $least")
        if (number > most) wrong("at most $most")
        return number
    }

    fun int(least: Int): Int = whole(least.toLong()).toInt()

    fun number(): Double = (value as? Number ?: wrong("a number")).toDouble()

    inline fun <reified T : Enum<T>> oneOf(small: Boolean = true): T {
        val known = enumValues<T>().associateBy { if (small) it.name.lowercase() else it.name }
        return known[text()] ?: wrong("one of ${known.keys.joinToString(", ")}")
    }

    fun matching(
        pattern: Regex,
        meaning: String,
    ): String = text().also { if (!pattern.matches(it)) wrong(meaning) }

    fun wrong(expected: String): Nothing = fail("is ${show(value)}; expected $expected")

    fun fail(what: String): Nothing = throw InvalidManifest("$path $what")

    private fun show(value: Any?): String =
        when (value) {
            is Map<*, *> -> "an object"
            is List<*> -> "an array of ${value.size}"
            is String -> "'" + value.map { if (it < ' ') '?' else it }.joinToString("").shortened() + "'"
            else -> value.toString()
        }
}
