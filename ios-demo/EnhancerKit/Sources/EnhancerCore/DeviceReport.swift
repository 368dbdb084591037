import Foundation

/// The self-test's report: tests/fixtures/README.md, device_reports. `created` is ISO 8601 in UTC.
public struct DeviceReport: Equatable, Sendable {
    public var app: String
    public var created: String
    public var bundle: BundleName
    public var device: Device
    public var artifacts: [ArtifactReport]

    public init(app: String, created: Date, manifest: Manifest, device: Device, artifacts: [ArtifactReport]) { fatalError("to be filled in") }

    /// Throws if a number is not finite.
    public func json() throws -> Data { fatalError("to be filled in") }
}

/// The manifest's `model.name` and `created`.
public struct BundleName: Codable, Equatable, Sendable {
    public var model: String
    public var created: String
}

public struct Device: Codable, Equatable, Sendable {
    public var manufacturer: String
    public var model: String
    public var system: String
    public var processor: String
    public var memoryMb: Int

    public init(manufacturer: String, model: String, system: String, processor: String, memoryMb: Int) {
        self.manufacturer = manufacturer
        self.model = model
        self.system = system
        self.processor = processor
        self.memoryMb = memoryMb
    }
}

/// `whyNot` has a line for "golden" and for "latency" where they are nil.
public struct ArtifactReport: Equatable, Sendable {
    public var name: String
    public var sha256: String
    public var runtime: String
    public var golden: GoldenResult?
    public var latency: LatencyResult?
    public var thermalBefore: ThermalState
    public var thermalAfter: ThermalState
    public var whyNot: [String: String]
}

/// `maxAbs` and `psnrDb` are nil if a value was not finite.
public struct GoldenResult: Equatable, Sendable {
    public var within: Bool
    public var bitEqual: Bool
    public var maxAbs: Double?
    public var psnrDb: Double?
}

public struct LatencyResult: Equatable, Sendable {
    public var medianMs: Double
    public var p90Ms: Double
    public var runs: Int
    public var threads: Int
    public var peakMemoryMb: Double?
}
