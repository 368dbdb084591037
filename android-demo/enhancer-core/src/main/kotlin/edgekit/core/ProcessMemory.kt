package edgekit.core

import java.io.File
import java.io.IOException

/** This process's memory as Linux and Android tell it, in MiB; null where /proc does not say. */
object ProcessMemory {
    fun residentMb(): Double? = read("VmRSS")

    /** The most that has been resident since the process started. */
    fun peakMb(): Double? = read("VmHWM")

    private fun read(key: String): Double? =
        try {
            val line = File("/proc/self/status").useLines { lines -> lines.firstOrNull { it.startsWith("$key:") } }
            line?.filter(Char::isDigit)?.toDoubleOrNull()?.div(1024)
        } catch (_: IOException) {
            null
        }
}
