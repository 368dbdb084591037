package edgekit.demo

import android.annotation.TargetApi
import android.content.Context
import android.os.Build
import android.os.PowerManager
import edgekit.core.ThermalState

/** The phone's thermal state; before Android 10 the system does not say. */
class Thermal(
    private val context: Context,
    private val changed: (ThermalState) -> Unit = {},
) : AutoCloseable {
    private val power = context.getSystemService(PowerManager::class.java)
    private var listener: AutoCloseable? = null

    val state: ThermalState? get() = if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q) state(power) else null

    /** From now on `changed` hears of changes, on the main thread, and of the state as it is. */
    fun listen() {
        if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.Q && listener == null) listener = register(power)
    }

    override fun close() {
        listener?.close()
        listener = null
    }

    @TargetApi(Build.VERSION_CODES.Q)
    private fun register(power: PowerManager): AutoCloseable {
        val listening = PowerManager.OnThermalStatusChangedListener { changed(named(it)) }
        power.addThermalStatusListener(context.mainExecutor, listening)
        return AutoCloseable { power.removeThermalStatusListener(listening) }
    }

    @TargetApi(Build.VERSION_CODES.Q)
    private fun state(power: PowerManager): ThermalState = named(power.currentThermalStatus)

    /** PowerManager's numbers are in the same order. */
    private fun named(status: Int): ThermalState = ThermalState.values()[status.coerceIn(0, ThermalState.values().size - 1)]
}
