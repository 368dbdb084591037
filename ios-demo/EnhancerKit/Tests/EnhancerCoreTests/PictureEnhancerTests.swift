import XCTest

@testable import EnhancerCore

final class PictureEnhancerTests: XCTestCase {
    private struct Case: Decodable {
        var height: Int
        var width: Int
        var tile: [Int]
        var halo: Int
        var rgb: Data
        var outRgb: Data
    }

    private struct File: Decodable {
        var cases: [Case]
    }

    private func enhancer(
        _ network: CrossNetwork = CrossNetwork(), tile: [Int] = [8, 8], halo: Int = 2, tiling: Tiling = .exact
    ) throws -> PictureEnhancer {
        try PictureEnhancer(network, artifact: CrossNetwork.artifact(tile: tile), image: CrossNetwork.image(tile: tile, halo: halo, tiling: tiling))
    }

    func testGoldenPictures() async throws {
        let file: File = try Fixtures.read("stitched.json")
        XCTAssertGreaterThan(file.cases.count, 8)
        for test in file.cases {
            let place = "\(test.height)x\(test.width), tile \(test.tile), halo \(test.halo)"
            let picture = try RgbPicture(height: test.height, width: test.width, rgb: test.rgb.bytes)
            let result = try await enhancer(tile: test.tile, halo: test.halo).enhance(picture)
            XCTAssertEqual([result.height, result.width], [2 * test.height, 2 * test.width], place)
            XCTAssertEqual(result.rgb, test.outRgb.bytes, place)
        }
    }

    /// Bands come from top to bottom and hold the whole picture; progress counts each tile once.
    func testBandsAndProgress() async throws {
        let test = try XCTUnwrap(Fixtures.read("stitched.json", as: File.self).cases.max { $0.height * $0.width < $1.height * $1.width })
        let picture = try RgbPicture(height: test.height, width: test.width, rgb: test.rgb.bytes)
        let subject = try enhancer(tile: test.tile, halo: test.halo)
        let told = Told()
        var rows = 0
        var bands = 0
        var rgb: [UInt8] = []
        try await subject.enhance(picture, progress: told.add) { y, height, band in
            XCTAssertEqual(y, rows)
            XCTAssertEqual(band.count, height * 2 * test.width * 3)
            rows += height
            bands += 1
            rgb += band
        }
        let plan = try subject.plan(height: test.height, width: test.width)
        XCTAssertGreaterThan(plan.rows, 1)
        XCTAssertEqual(bands, plan.rows)
        XCTAssertEqual(rgb, test.outRgb.bytes)
        XCTAssertEqual(told.calls.map(\.0), Array(1...plan.count))
        XCTAssert(told.calls.allSatisfy { $0.1 == plan.count })
    }

    func testMemoryGrowsWithTheWidthOnly() throws {
        let subject = try enhancer(tile: [128, 128], halo: 8)
        let tiles = 4 * 3 * 128 * 128 * (1 + 4)
        XCTAssertEqual(subject.workingBytes(width: 4032), tiles + 3 * 4032 * (128 + 112 * 4))
    }

    /// All tiles of a picture go through the same two pieces of memory.
    func testTilesShareTheirMemory() async throws {
        let network = CrossNetwork()
        _ = try await enhancer(network).enhance(RgbPicture(height: 30, width: 30))
        let (runs, places) = (await network.runs, await network.places)
        XCTAssertEqual(runs, 64)
        XCTAssertEqual(places.count, 1)
    }

    func testCancellation() async throws {
        let network = CrossNetwork(beforeRun: { if $0 == 3 { withUnsafeCurrentTask { $0?.cancel() } } })
        let subject = try enhancer(network)
        let task = Task { try await subject.enhance(RgbPicture(height: 30, width: 30)) }
        let result = await task.result
        XCTAssertThrowsError(try result.get()) { XCTAssert($0 is CancellationError, "\($0)") }
        let runs = await network.runs
        XCTAssertEqual(runs, 3)
    }

    func testValuesThatAreNotFinite() async throws {
        for value in [Float.nan, .infinity, -.infinity] {
            // A halo of 0: the broken value is part of the picture.
            let subject = try enhancer(CrossNetwork(broken: (run: 2, value: value)), halo: 0)
            do {
                _ = try await subject.enhance(RgbPicture(height: 8, width: 16))
                XCTFail("\(value) passed")
            } catch {
                let line = "cross gave values that are not finite for the tile at row 0, column 8; expected numbers"
                XCTAssertEqual(error as? EnhancerError, .modelFailed(line))
            }
        }
    }

    func testFailureOfTheModel() async throws {
        let subject = try enhancer(CrossNetwork(failing: 2))
        do {
            _ = try await subject.enhance(RgbPicture(height: 8, width: 16))
            XCTFail("the failure was lost")
        } catch {
            XCTAssertEqual(error as? EnhancerError, .modelFailed("the network failed as it was told to"))
        }
    }

    func testWholePictures() async throws {
        let subject = try enhancer(halo: 2, tiling: .whole)
        let result = try await subject.enhance(RgbPicture(height: 8, width: 8))
        XCTAssertEqual(result.height, 16)
        for (height, width) in [(8, 9), (7, 8), (16, 16)] {
            XCTAssertThrowsError(try subject.plan(height: height, width: width)) { XCTAssert("\($0)".contains("expected 8x8"), "\($0)") }
        }
    }

    func testEmptyPictures() throws {
        let subject = try enhancer()
        XCTAssertThrowsError(try subject.plan(height: 0, width: 4)) { XCTAssert("\($0)".contains("expected at least 1x1"), "\($0)") }
    }
}

/// What progress told.
private final class Told: @unchecked Sendable {
    private let lock = NSLock()
    private var all: [(Int, Int)] = []

    var calls: [(Int, Int)] { lock.withLock { all } }

    func add(_ done: Int, _ total: Int) {
        lock.withLock { all.append((done, total)) }
    }
}
