import XCTest

@testable import EnhancerCore

final class DeviceReportTests: XCTestCase {
    private let device = Device(manufacturer: "Apple", model: "iPhone17,1", system: "iOS 18.1", processor: "", memoryMb: 7600)

    private func report(_ artifacts: [ArtifactReport]) throws -> DeviceReport {
        let manifest = try Manifest.parse(Fixtures.data("manifests/edsr-ios18.json"))
        return DeviceReport(
            app: "edgekit-ios-demo 0.1.0", created: Date(timeIntervalSince1970: 1_795_257_000.75), manifest: manifest, device: device, artifacts: artifacts)
    }

    private let measured = ArtifactReport(
        name: "a", sha256: String(repeating: "0", count: 64), runtime: "Core ML",
        golden: GoldenResult(within: true, bitEqual: false, maxAbs: 0.0004, psnrDb: 71.25),
        latency: LatencyResult(medianMs: 31.5, p90Ms: 35, runs: 20, threads: 4, peakMemoryMb: 84), thermalBefore: .none, thermalAfter: .light, whyNot: [:])

    /// The keys and types of the golden report.
    func testShape() throws {
        let found = try JsonParser.parse(report([measured, measured]).json(), name: "report")
        let told = try JsonParser.parse(Fixtures.data("device_reports/whole.json"), name: "whole.json")
        XCTAssertEqual(shape(found), shape(told))
    }

    private func shape(_ value: Json) -> String {
        switch value {
        case .null: "null"
        case .bool: "bool"
        case .number: "number"
        case .text: "text"
        case .list(let values): "[\(values.map(shape).joined(separator: ", "))]"
        case .object(let values): "{\(values.keys.sorted().map { "\($0): \(shape(values[$0]!))" }.joined(separator: ", "))}"
        }
    }

    func testNilIsWrittenAsNull() throws {
        var bare = measured
        bare.golden = nil
        bare.latency = nil
        bare.whyNot = ["golden": "one\nline\u{7}" + String(repeating: "x", count: 500), "latency": "none"]
        var modest = measured
        modest.golden = GoldenResult(within: false, bitEqual: false, maxAbs: nil, psnrDb: nil)
        modest.latency?.threads = nil
        modest.latency?.peakMemoryMb = nil
        let text = String(decoding: try report([bare, modest]).json(), as: UTF8.self)
        for key in ["golden", "latency", "max_abs", "psnr_db", "threads", "peak_memory_mb"] { XCTAssert(text.contains("\"\(key)\" : null"), text) }
        XCTAssert(text.contains("\"one line " + String(repeating: "x", count: 191) + "\""), text)
        XCTAssert(text.contains("\"created\" : \"2026-11-21T10:30:00Z\""), text)
    }

    /// `edgekit validate --device-report` reads what this wrote: run by tests/apps, which name the bundle and where the report goes.
    func testRealReport() async throws {
        let environment = ProcessInfo.processInfo.environment
        guard let folder = environment["EDGEKIT_BUNDLE"], let out = environment["EDGEKIT_REPORT"] else {
            throw XCTSkip("EDGEKIT_BUNDLE and EDGEKIT_REPORT name no bundle of the cross network")
        }
        let bundle = try ModelBundle(folder: URL(fileURLWithPath: folder))
        let test = SelfTest(bundle: bundle, probe: Machine(), runs: 5, warmUp: 1)
        var artifacts: [ArtifactReport] = []
        for artifact in bundle.manifest.artifacts {
            artifacts.append(try await test.run(artifact, runtime: "cross network") { _, _ in CrossNetwork() })
        }
        let report = DeviceReport(app: "EnhancerCoreTests", created: Date(), manifest: bundle.manifest, device: device, artifacts: artifacts)
        try report.json().write(to: URL(fileURLWithPath: out))
    }
}

/// The machine that runs the tests.
private struct Machine: Probe {
    func nowNs() -> UInt64 { DispatchTime.now().uptimeNanoseconds }
    func peakMemoryMb() -> Double? { nil }
    func thermal() -> ThermalState { .none }
}
