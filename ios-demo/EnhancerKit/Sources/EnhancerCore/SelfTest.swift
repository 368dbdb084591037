import Foundation

/// What the self-test asks the phone.
public protocol Probe: Sendable {
    /// Of a clock that never goes back.
    func nowNs() -> UInt64

    /// Of the process so far; nil where the system does not say.
    func peakMemoryMb() -> Double?

    func thermal() -> ThermalState
}

/// Runs the golden pair of an artifact, times the model, and says what it found.
public struct SelfTest: Sendable {
    public var bundle: ModelBundle
    public var probe: any Probe
    public var runs: Int
    public var warmUp: Int

    public init(bundle: ModelBundle, probe: any Probe, runs: Int = 20, warmUp: Int = 3) {
        self.bundle = bundle
        self.probe = probe
        self.runs = runs
        self.warmUp = warmUp
    }

    /// Verifies the artifact's file, opens it with `open`, compares, times and closes it. What cannot be measured is nil in the result, with the reason beside
    /// it. `runtime` names the runtime where the file does not open. `progress`: runs done, runs in all. Throws CancellationError only.
    public func run(
        _ artifact: Artifact,
        runtime: String,
        progress: PictureEnhancer.Progress? = nil,
        open: (Artifact, URL) async throws -> any Enhancer
    ) async throws -> ArtifactReport { fatalError("to be filled in") }
}
