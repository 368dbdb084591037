import XCTest

@testable import EnhancerCore

final class RoutingTests: XCTestCase {
    private struct Score: Decodable {
        var name: String
        var height: Int
        var width: Int
        var rgb: Data
        var score: Int
    }

    private struct Rule: Decodable {
        var thresholds: [Int]
        var variants: [String]
        var scores: [Int]
        var routes: [String]
    }

    private struct Case: Decodable {
        var height: Int
        var width: Int
        var tile: [Int]
        var halo: Int
        var unit: RoutingUnit
        var thresholds: [Int]
        var rgb: Data
        var routes: [String]
        var outRgb: Data
    }

    private struct File: Decodable {
        var scores: [Score]
        var rules: [Rule]
        var pictures: [Case]
    }

    private func file() throws -> File { try Fixtures.read("routing.json") }

    func testGoldenScores() throws {
        let scores = try file().scores
        XCTAssertGreaterThan(scores.count, 30)
        for test in scores {
            let rows = (0..<test.height).map { 3 * test.width * $0 }
            XCTAssertEqual(DetailScore.of(test.rgb.bytes, rows: rows, columns: Array(0..<test.width)), test.score, "\(test.name), as a tile")
            let picture = try RgbPicture(height: test.height, width: test.width, rgb: test.rgb.bytes)
            XCTAssertEqual(try DetailScore.of(picture), test.score, "\(test.name), as a picture")
        }
    }

    func testGoldenRules() throws {
        for test in try file().rules {
            let rule = Routing(unit: .tile, thresholds: test.thresholds, variants: test.variants)
            XCTAssertEqual(test.scores.map(rule.variant), test.routes, "\(test.thresholds)")
        }
    }

    func testGoldenPictures() async throws {
        for test in try file().pictures {
            let place = "\(test.height)x\(test.width), by \(test.unit)"
            let (light, heavy) = (RepeatingNetwork(), CrossNetwork())
            let rule = Routing(unit: test.unit, thresholds: test.thresholds, variants: ["light", "heavy"])
            let subject = try PictureEnhancer(
                Variants(rule, ["light": light, "heavy": heavy]), artifact: CrossNetwork.artifact(tile: test.tile),
                image: CrossNetwork.image(tile: test.tile, halo: test.halo))
            let picture = try RgbPicture(height: test.height, width: test.width, rgb: test.rgb.bytes)
            let result = try await subject.enhance(picture)
            XCTAssertEqual(result.rgb, test.outRgb.bytes, place)
            let runs = (light: await light.runs, heavy: await heavy.runs)
            let tiles = try subject.plan(height: test.height, width: test.width).count / test.routes.count
            XCTAssertEqual(runs.light, tiles * test.routes.count(where: { $0 == "light" }), place)
            XCTAssertEqual(runs.heavy, tiles * test.routes.count(where: { $0 == "heavy" }), place)
        }
    }

    func testEveryVariantHasToBeOpened() {
        let rule = Routing(unit: .tile, thresholds: [5], variants: ["light", "heavy"])
        XCTAssertThrowsError(try Variants(rule, ["heavy": CrossNetwork()])) {
            let line = "opened are [\"heavy\"]; expected a file of each of [\"light\", \"heavy\"]"
            XCTAssertEqual($0 as? EnhancerError, .modelFailed(line))
        }
    }

    /// What stands in the file, where, and what should: word for word.
    func testMessages() throws {
        let good = String(decoding: try Fixtures.data("manifests/variants.json"), as: UTF8.self)
        let cases = [
            ("laplacian-energy", "niqe", "routing.score is 'niqe'; expected one of laplacian-energy"),
            ("\"unit\": \"tile\"", "\"unit\": \"row\"", "routing.unit is 'row'; expected one of tile, picture"),
            ("400", "50", "routing.thresholds is a list of 2; expected rising numbers, not [100, 50]"),
            ("\"variant\": \"moderate\"", "\"variant\": \"tiny\"", "artifacts[1].variant is 'tiny'; expected one of light, moderate, heavy"),
            (
                "\"variant\": \"moderate\"", "\"variant\": \"heavy\"",
                "artifacts is a list of 3; expected of executorch int8 one file of each of the variants light, moderate, heavy, not heavy, heavy, light"
            ),
        ]
        for (from, to, line) in cases {
            let range = try XCTUnwrap(good.range(of: from), from)
            let text = good.replacingCharacters(in: range, with: to)
            XCTAssertThrowsError(try Manifest.parse(Data(text.utf8)), from) { XCTAssertEqual($0 as? EnhancerError, .invalidManifest("manifest.json: " + line)) }
        }
    }
}

/// The light network of routing.json: each pixel four times.
private actor RepeatingNetwork: Enhancer {
    nonisolated let runtime = "repeating network"
    nonisolated let threads: Int? = 1
    private(set) var runs = 0

    func run(_ input: Tensor, into output: inout Tensor) {
        runs += 1
        let (height, width) = (input.spec.shape[2], input.spec.shape[3])
        output.withUnsafeMutableBytes { to in
            input.withUnsafeBytes { from in
                let source = from.assumingMemoryBound(to: Float.self)
                let target = to.assumingMemoryBound(to: Float.self)
                for row in 0..<3 * 2 * height {
                    for x in 0..<2 * width { target[row * 2 * width + x] = source[row / 2 * width + x / 2] }
                }
            }
        }
    }

    func close() {}
}
