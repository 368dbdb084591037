import XCTest

@testable import EnhancerCore

final class SelfTestTests: XCTestCase {
    private struct Comparison: Decodable {
        var name: String
        var expected: Data
        var got: Data
        var maxAbs: Double
        var minPsnrDb: Double
        var within: Bool
        var bitEqual: Bool
        var maxAbsFound: Double?
        var psnrDb: Double?
    }

    private struct Input: Decodable {
        var height: Int
        var width: Int
        var values: Data
        var layout: String
        var dtype: String
        var tensor: Data
    }

    private struct Times: Decodable {
        var ms: [Double]
        var medianMs: Double
        var p90Ms: Double
    }

    private struct File: Decodable {
        var psnrToleranceDb: Double
        var compare: [Comparison]
        var inputs: [Input]
        var times: [Times]
    }

    func testGoldenComparisons() throws {
        let file: File = try Fixtures.read("selftest.json")
        XCTAssertGreaterThan(file.compare.count, 10)
        for test in file.compare {
            let found = GoldenResult(
                expected: test.expected.bytes, got: test.got.bytes, dtype: .float32, maxAbs: test.maxAbs, minPsnrDb: test.minPsnrDb)
            XCTAssertEqual(found.within, test.within, test.name)
            XCTAssertEqual(found.bitEqual, test.bitEqual, test.name)
            XCTAssertEqual(found.maxAbs, test.maxAbsFound, test.name)
            XCTAssertEqual(found.psnrDb == nil, test.psnrDb == nil, test.name)
            if let psnrDb = found.psnrDb, let told = test.psnrDb { XCTAssertEqual(psnrDb, told, accuracy: file.psnrToleranceDb, test.name) }
        }
    }

    func testBytesCountAsShares() throws {
        let found = GoldenResult(expected: [0, 100, 255, 7], got: [0, 151, 255, 7], dtype: .uint8, maxAbs: 0.2, minPsnrDb: 0)
        XCTAssertEqual(try XCTUnwrap(found.maxAbs), 0.2, accuracy: 1e-12)
        XCTAssertEqual(try XCTUnwrap(found.psnrDb), 20, accuracy: 1e-9)
    }

    func testGoldenInputs() throws {
        let file: File = try Fixtures.read("selftest.json")
        XCTAssertEqual(file.inputs.count, 4)
        for test in file.inputs {
            let layout = try XCTUnwrap(Layout(rawValue: test.layout))
            let shape = layout == .nchw ? [1, 3, test.height, test.width] : [1, test.height, test.width, 3]
            let spec = TensorSpec(name: "", shape: shape, layout: layout, dtype: try XCTUnwrap(DType(rawValue: test.dtype)))
            let golden = GoldenTensor(
                file: "", shape: [1, 3, test.height, test.width], layout: .nchw, dtype: .float32, bytes: test.values.count, sha256: "")
            XCTAssertEqual(try Tensor(golden: golden, bytes: test.values.bytes, for: spec).bytes, test.tensor.bytes, "\(spec)")
            var other = golden
            other.shape = [1, 3, test.width, test.height]
            XCTAssertThrowsError(try Tensor(golden: other, bytes: test.values.bytes, for: spec)) { XCTAssert("\($0)".contains("golden input is"), "\($0)") }
        }
    }

    func testGoldenTimes() throws {
        let file: File = try Fixtures.read("selftest.json")
        XCTAssertGreaterThan(file.times.count, 5)
        for test in file.times {
            let found = LatencyResult(ms: test.ms, threads: nil, peakMemoryMb: nil)
            XCTAssertEqual([found.medianMs, found.p90Ms], [test.medianMs, test.p90Ms], "\(test)")
            XCTAssertEqual(found.runs, test.ms.count)
        }
    }

    /// A clock that the test sets: each look takes 2 ms.
    private final class Desk: Probe, @unchecked Sendable {
        private let lock = NSLock()
        private var looks: UInt64 = 0

        func nowNs() -> UInt64 {
            lock.withLock {
                looks += 1
                return looks * 2_000_000
            }
        }

        func peakMemoryMb() -> Double? { 84.5 }
        func thermal() -> ThermalState { .light }
    }

    private func run(_ folder: URL, _ network: CrossNetwork) async throws -> ArtifactReport {
        let bundle = try ModelBundle(folder: folder)
        let test = SelfTest(bundle: bundle, probe: Desk(), runs: 5, warmUp: 2)
        return try await test.run(try XCTUnwrap(bundle.manifest.artifacts.first), runtime: "desk") { _, _ in network }
    }

    func testWithin() async throws {
        let network = CrossNetwork()
        let report = try await run(TestBundle(self).folder, network)
        XCTAssertEqual(report.golden, GoldenResult(within: true, bitEqual: true, maxAbs: 0, psnrDb: 100))
        XCTAssertEqual(report.latency, LatencyResult(medianMs: 2, p90Ms: 2, runs: 5, threads: 1, peakMemoryMb: 84.5))
        XCTAssertEqual([report.runtime, report.thermalBefore.rawValue, report.thermalAfter.rawValue], ["cross network", "light", "light"])
        XCTAssertEqual(report.whyNot, [:])
        let (runs, isClosed) = (await network.runs, await network.isClosed)
        XCTAssertEqual(runs, 8)
        XCTAssert(isClosed)
    }

    func testOver() async throws {
        let report = try await run(TestBundle(self).folder, CrossNetwork(broken: (run: 1, value: 1e6)))
        XCTAssertEqual(report.golden?.within, false)
        XCTAssertNotNil(report.latency)
        let broken = try await run(TestBundle(self).folder, CrossNetwork(broken: (run: 1, value: .nan)))
        XCTAssertEqual(broken.golden, GoldenResult(within: false, bitEqual: false, maxAbs: nil, psnrDb: nil))
    }

    func testFailures() async throws {
        let early = try await run(TestBundle(self).folder, CrossNetwork(failing: 1))
        XCTAssertNil(early.golden)
        XCTAssertNil(early.latency)
        XCTAssertEqual(early.whyNot, ["golden": "the network failed as it was told to", "latency": "the network failed as it was told to"])
        let network = CrossNetwork(failing: 3)
        let late = try await run(TestBundle(self).folder, network)
        XCTAssertEqual(late.golden?.within, true)
        XCTAssertEqual(late.whyNot, ["latency": "the network failed as it was told to"])
        let isClosed = await network.isClosed
        XCTAssert(isClosed)
    }

    func testWithoutGolden() async throws {
        let folder = try await TestBundle(self) { $0.update("golden") { $0["artifacts"] = [Any]() } }.folder
        let report = try await run(folder, CrossNetwork())
        XCTAssertEqual(report.whyNot, ["golden": "the bundle holds no golden output of cross"])
        XCTAssertNotNil(report.latency)
    }

    func testOtherFile() async throws {
        let folder = try await TestBundle(self).folder
        try Data("netwerk".utf8).write(to: folder.appendingPathComponent("cross.bin"))
        let report = try await run(folder, CrossNetwork())
        XCTAssertEqual(report.sha256, try FileDigest(of: folder.appendingPathComponent("cross.bin")).sha256)
        XCTAssertEqual(Set(report.whyNot.keys), ["golden", "latency"])
        try FileManager.default.removeItem(at: folder.appendingPathComponent("cross.bin"))
        do {
            _ = try await run(folder, CrossNetwork())
            XCTFail("a report without a file")
        } catch {
            XCTAssert("\(error)".contains("cross.bin: is missing"), "\(error)")
        }
    }

    /// The golden input in the other layout than the file takes.
    func testOtherLayout() async throws {
        let folder = try await TestBundle(self).folder
        let bundle = try ModelBundle(folder: folder)
        let planes = try bundle.read(bundle.manifest.golden.input)
        var pixels: [UInt8] = []
        for pixel in 0..<256 { for channel in 0..<3 { pixels += planes[(channel * 256 + pixel) * 4..<(channel * 256 + pixel) * 4 + 4] } }
        let file = folder.appendingPathComponent("golden/input.bin")
        try Data(pixels).write(to: file)
        let digest = try FileDigest(of: file).sha256
        let manifest = folder.appendingPathComponent(ModelBundle.manifestName)
        var json = try XCTUnwrap(JSONSerialization.jsonObject(with: Data(contentsOf: manifest)) as? [String: Any])
        json.update("golden") { $0.updateFirst("inputs") { $0.merge(["layout": "NHWC", "shape": [1, 16, 16, 3], "sha256": digest]) { $1 } } }
        try JSONSerialization.data(withJSONObject: json).write(to: manifest)
        let report = try await run(folder, CrossNetwork())
        XCTAssertEqual(report.golden?.bitEqual, true, "\(report)")
    }

    func testCancellation() async throws {
        let network = CrossNetwork(beforeRun: { if $0 == 4 { withUnsafeCurrentTask { $0?.cancel() } } })
        let folder = try await TestBundle(self).folder
        let bundle = try ModelBundle(folder: folder)
        let artifact = try XCTUnwrap(bundle.manifest.artifacts.first)
        let task = Task { try await SelfTest(bundle: bundle, probe: Desk()).run(artifact, runtime: "") { _, _ in network } }
        let result = await task.result
        XCTAssertThrowsError(try result.get()) { XCTAssert($0 is CancellationError, "\($0)") }
        let (runs, isClosed) = (await network.runs, await network.isClosed)
        XCTAssertEqual(runs, 4)
        XCTAssert(isClosed)
    }
}
