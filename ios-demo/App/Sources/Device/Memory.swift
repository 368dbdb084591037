@preconcurrency import Darwin
import os

/// This process's memory as the system counts it against its limit. Bytes.
enum Memory {
    /// What can still be allocated before the system ends the app.
    static var available: Int { os_proc_available_memory() }

    /// The most that was in use at once since the app started; nil if the system does not say.
    static var peak: Int? {
        var info = task_vm_info_data_t()
        var count = mach_msg_type_number_t(MemoryLayout<task_vm_info_data_t>.size / MemoryLayout<natural_t>.size)
        let status = withUnsafeMutablePointer(to: &info) { pointer in
            pointer.withMemoryRebound(to: integer_t.self, capacity: Int(count)) {
                task_info(mach_task_self_, task_flavor_t(TASK_VM_INFO), $0, &count)
            }
        }
        return status == KERN_SUCCESS ? Int(info.ledger_phys_footprint_peak) : nil
    }
}
