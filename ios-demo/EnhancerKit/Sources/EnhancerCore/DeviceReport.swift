import Foundation

/// The self-test's report: tests/fixtures/README.md, device_reports.
public struct DeviceReport: Equatable, Sendable {
    public var app: String
    public var created: Date
    public var bundle: BundleName
    public var device: Device
    public var artifacts: [ArtifactReport]

    /// `app`: name and version.
    public init(app: String, created: Date, manifest: Manifest, device: Device, artifacts: [ArtifactReport]) {
        self.app = app
        self.created = created
        bundle = BundleName(model: manifest.model.name, created: manifest.created)
        self.device = device
        self.artifacts = artifacts
    }

    /// The file's text. Throws if a number is not finite.
    public func json() throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }
}

/// The manifest's `model.name` and `created`.
public struct BundleName: Equatable, Sendable {
    public var model: String
    public var created: String
}

public struct Device: Equatable, Sendable {
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

/// `sha256` is of the file as the app read it. `whyNot` has a line for "golden" and for "latency" where they are nil.
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

/// `threads` is nil where the runtime decides, `peakMemoryMb` where the system does not say.
public struct LatencyResult: Equatable, Sendable {
    public var medianMs: Double
    public var p90Ms: Double
    public var runs: Int
    public var threads: Int?
    public var peakMemoryMb: Double?
}

// The file's keys. All are always there: nil is written as null.

extension DeviceReport: Encodable {
    private enum CodingKeys: String, CodingKey {
        case version = "device_report"
        case app, created, bundle, device, artifacts
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(1, forKey: .version)
        try values.encode(app.oneLine(200), forKey: .app)
        try values.encode(ISO8601DateFormatter().string(from: created), forKey: .created)
        try values.encode(bundle, forKey: .bundle)
        try values.encode(device, forKey: .device)
        try values.encode(artifacts, forKey: .artifacts)
    }
}

extension BundleName: Encodable {
    private enum CodingKeys: String, CodingKey { case model, created }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(model.oneLine(200), forKey: .model)
        try values.encode(created, forKey: .created)
    }
}

extension Device: Encodable {
    private enum CodingKeys: String, CodingKey {
        case manufacturer, model, system, processor
        case memoryMb = "memory_mb"
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(manufacturer.oneLine(200), forKey: .manufacturer)
        try values.encode(model.oneLine(200), forKey: .model)
        try values.encode(system.oneLine(200), forKey: .system)
        try values.encode(processor.oneLine(200), forKey: .processor)
        try values.encode(memoryMb, forKey: .memoryMb)
    }
}

extension ArtifactReport: Encodable {
    private enum CodingKeys: String, CodingKey {
        case name, sha256, runtime, golden, latency
        case thermalBefore = "thermal_before"
        case thermalAfter = "thermal_after"
        case whyNot = "why_not"
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(name.oneLine(200), forKey: .name)
        try values.encode(sha256, forKey: .sha256)
        try values.encode(runtime.oneLine(200), forKey: .runtime)
        try values.encode(golden, forKey: .golden)
        try values.encode(latency, forKey: .latency)
        try values.encode(thermalBefore, forKey: .thermalBefore)
        try values.encode(thermalAfter, forKey: .thermalAfter)
        try values.encode(whyNot.mapValues { $0.oneLine(200) }, forKey: .whyNot)
    }
}

extension GoldenResult: Encodable {
    private enum CodingKeys: String, CodingKey {
        case within
        case bitEqual = "bit_equal"
        case maxAbs = "max_abs"
        case psnrDb = "psnr_db"
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(within, forKey: .within)
        try values.encode(bitEqual, forKey: .bitEqual)
        try values.encode(maxAbs, forKey: .maxAbs)
        try values.encode(psnrDb, forKey: .psnrDb)
    }
}

extension LatencyResult: Encodable {
    private enum CodingKeys: String, CodingKey {
        case runs, threads
        case medianMs = "median_ms"
        case p90Ms = "p90_ms"
        case peakMemoryMb = "peak_memory_mb"
    }

    public func encode(to encoder: any Encoder) throws {
        var values = encoder.container(keyedBy: CodingKeys.self)
        try values.encode(medianMs, forKey: .medianMs)
        try values.encode(p90Ms, forKey: .p90Ms)
        try values.encode(runs, forKey: .runs)
        try values.encode(threads, forKey: .threads)
        try values.encode(peakMemoryMb, forKey: .peakMemoryMb)
    }
}
