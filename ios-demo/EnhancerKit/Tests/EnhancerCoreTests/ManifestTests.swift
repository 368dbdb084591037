import XCTest

@testable import EnhancerCore

final class ManifestTests: XCTestCase {
    private struct Spec: Decodable {
        var name: String
        var shape: [Int]
        var layout: String
        var dtype: String
        var range: [Double]

        func agrees(with spec: TensorSpec) -> Bool {
            name == spec.name && shape == spec.shape && layout == spec.layout.rawValue && dtype == spec.dtype.rawValue
                && range == [spec.range.lowest, spec.range.highest]
        }
    }

    private struct ArtifactCase: Decodable {
        var name: String
        var file: String
        var backend: String
        var recipe: String
        var variant: String?
        var bytes: Int
        var sha256: String
        var input: Spec
        var output: Spec
    }

    private struct RoutingCase: Decodable {
        var unit: RoutingUnit
        var thresholds: [Int]
        var variants: [String]
    }

    private struct GoldenCase: Decodable, Equatable {
        var artifact: String
        var maxAbs: Double
        var minPsnrDb: Double
    }

    private struct Expected: Decodable {
        var model: String
        var scale: Int
        var tile: [Int]
        var halo: Int
        var multipleOf: Int
        var tiling: String
        var artifacts: [ArtifactCase]
        var golden: [GoldenCase]
        var routing: RoutingCase?
    }

    private struct Case: Decodable {
        var file: String
        var good: Bool
        var expect: Expected?
        var `where`: String?
        var why: String?
    }

    private struct File: Decodable {
        var cases: [Case]
    }

    func testGoldenGood() throws {
        let good = try Fixtures.read("manifests.json", as: File.self).cases.filter(\.good)
        XCTAssertGreaterThan(good.count, 8)
        for test in good {
            let manifest = try Manifest.parse(Fixtures.data("manifests/\(test.file)"))
            let expect = try XCTUnwrap(test.expect)
            XCTAssertEqual(manifest.model.name, expect.model, test.file)
            XCTAssertEqual(manifest.image.scale, expect.scale, test.file)
            XCTAssertEqual([manifest.image.tileHeight, manifest.image.tileWidth], expect.tile, test.file)
            XCTAssertEqual(manifest.image.halo, expect.halo, test.file)
            XCTAssertEqual(manifest.image.multipleOf, expect.multipleOf, test.file)
            XCTAssertEqual(manifest.image.tiling.rawValue, expect.tiling, test.file)
            XCTAssertEqual(manifest.artifacts.count, expect.artifacts.count, test.file)
            for (found, told) in zip(manifest.artifacts, expect.artifacts) {
                XCTAssertEqual([found.name, found.file, found.backend, found.sha256], [told.name, told.file, told.backend, told.sha256], test.file)
                XCTAssertEqual([found.recipe, found.variant], [told.recipe, told.variant], test.file)
                XCTAssertEqual(manifest.siblings(of: found).keys.sorted(), (expect.routing?.variants ?? []).sorted(), test.file)
                XCTAssertEqual(found.bytes, told.bytes, test.file)
                XCTAssert(told.input.agrees(with: found.input), "\(test.file): \(found.input)")
                XCTAssert(told.output.agrees(with: found.output), "\(test.file): \(found.output)")
            }
            let golden = manifest.golden.outputs.map { GoldenCase(artifact: $0.artifact, maxAbs: $0.maxAbs, minPsnrDb: $0.minPsnrDb) }
            XCTAssertEqual(golden, expect.golden, test.file)
            let routing = expect.routing.map { Routing(unit: $0.unit, thresholds: $0.thresholds, variants: $0.variants) }
            XCTAssertEqual(manifest.routing, routing, test.file)
        }
    }

    func testGoldenBroken() throws {
        let broken = try Fixtures.read("manifests.json", as: File.self).cases.filter { !$0.good }
        XCTAssertGreaterThan(broken.count, 25)
        for test in broken {
            XCTAssertThrowsError(try Manifest.parse(Fixtures.data("manifests/\(test.file)")), "\(test.file): \(test.why ?? "")") { error in
                guard case .invalidManifest(let line) = error as? EnhancerError else { return XCTFail("\(test.file): \(error)") }
                XCTAssert(line.hasPrefix("manifest.json") && line.contains("expected"), "\(test.file): \(line)")
                XCTAssert(test.where.map { $0.isEmpty || line.contains($0) } ?? false, "\(test.file): \(line)")
                XCTAssertFalse(line.contains { $0.isNewline } || line.count > 400, "\(test.file): \(line)")
            }
        }
    }

    /// What stands in the file, where, and what should: word for word.
    func testMessages() throws {
        let good = String(decoding: try Fixtures.data("manifests/edsr-ios18.json"), as: UTF8.self)
        let cases = [
            ("\"halo\": 8", "\"halo\": \"8\\u0007\"", "manifest.json: image.halo is '8 '; expected a whole number of at least 0"),
            ("\"halo\": 8", "\"halo\": 64", "manifest.json: image.halo is 64; expected less than half of tile 128x128"),
            ("\"halo\": 8,", "", "manifest.json: image.halo is missing; expected a whole number of at least 0"),
            ("\"multiple_of\": 1", "\"multiple_of\": 1e300", "manifest.json: image.multiple_of is 1e+300; expected a whole number of at least 1"),
            ("\"tile\": [\n      128", "\"tile\": [9007199254740991", "manifest.json: image.tile[0] is 9007199254740991; expected at most 16384"),
            (
                "\"manifest\": 1,", "\"manifest\": 1, \"sampler\": {},",
                "manifest.json: sampler is an object; expected none: the files are one step of a model, not all of it"
            ),
            (
                "\"manifest\": 1,", "\"manifest\": 1, \"apply\": null, \"before\": [], \"after\": [{}],",
                "manifest.json: after is a list of 1; expected none: the app does no classical steps after the network"
            ),
            ("\"tiling\": \"exact\"", "\"tiling\": true", "manifest.json: image.tiling is true; expected one of exact, whole"),
            ("\"manifest\": 1", "\"manifest\": 2", "manifest.json: manifest is 2; expected 1: this bundle is newer than the app, update the app"),
            ("\"file\": \"edsr-coreml-fp16.mlpackage\"", "\"file\": {}", "manifest.json: artifacts[0].file is an object; expected a text"),
        ]
        for (from, to, line) in cases {
            let text = good.replacingOccurrences(of: from, with: to)
            XCTAssertNotEqual(text, good, from)
            XCTAssertThrowsError(try Manifest.parse(Data(text.utf8))) { XCTAssertEqual($0 as? EnhancerError, .invalidManifest(line)) }
        }
    }

    /// Cut off or altered anywhere, a manifest is read or refused; nothing else happens.
    func testHostileBytes() throws {
        let good = try Fixtures.data("manifests/small.json").bytes
        var random = Seeded(seed: 5)
        for _ in 0..<1000 {
            var bytes = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            if Bool.random(using: &random) { bytes.removeLast(.random(in: 0..<bytes.count, using: &random)) }
            do {
                _ = try Manifest.parse(Data(bytes))
            } catch {
                guard case .invalidManifest = error as? EnhancerError else { return XCTFail("\(error)") }
            }
        }
        for opening in ["[", "{\"a\":", "[{\"a\":["] {
            XCTAssertThrowsError(try Manifest.parse(Data(String(repeating: opening, count: 100_000).utf8)))
        }
    }
}
