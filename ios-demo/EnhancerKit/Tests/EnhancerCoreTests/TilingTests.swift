import XCTest

@testable import EnhancerCore

final class TilingTests: XCTestCase {
    private struct Inputs: Decodable {
        var height: Int
        var width: Int
        var tile: [Int]
        var halo: Int
        var multipleOf: Int

        func plan() throws -> TilePlan {
            try TilePlan(height: height, width: width, tileHeight: tile[0], tileWidth: tile[1], halo: halo, multipleOf: multipleOf)
        }
    }

    private struct Expected: Decodable {
        var rows: Int
        var columns: Int
        var cores: [[Int]]
        var sourceRows: [[Int]]
        var sourceColumns: [[Int]]
    }

    private struct Case: Decodable {
        var inputs: Inputs
        var expected: Expected

        init(from decoder: any Decoder) throws {
            inputs = try Inputs(from: decoder)
            expected = try Expected(from: decoder)
        }
    }

    private struct File: Decodable {
        var plans: [Case]
        var refused: [Inputs]
    }

    func testGoldenPlans() throws {
        let file: File = try Fixtures.read("tiling.json")
        XCTAssertGreaterThan(file.plans.count, 10)
        for (inputs, expected) in file.plans.map({ ($0.inputs, $0.expected) }) {
            let plan = try inputs.plan()
            XCTAssertEqual(plan.rows, expected.rows, "\(inputs)")
            XCTAssertEqual(plan.columns, expected.columns, "\(inputs)")
            XCTAssertEqual(plan.count, expected.cores.count, "\(inputs)")
            let tiles = (0..<plan.rows).flatMap { row in (0..<plan.columns).map { plan.tile(row: row, column: $0) } }
            XCTAssertEqual(tiles.map { [$0.y, $0.x, $0.height, $0.width] }, expected.cores, "\(inputs)")
            XCTAssertEqual((0..<plan.rows).map(plan.sourceRows), expected.sourceRows, "\(inputs)")
            XCTAssertEqual((0..<plan.columns).map(plan.sourceColumns), expected.sourceColumns, "\(inputs)")
        }
    }

    func testGoldenRefusals() throws {
        let file: File = try Fixtures.read("tiling.json")
        XCTAssertGreaterThan(file.refused.count, 5)
        for inputs in file.refused {
            XCTAssertThrowsError(try inputs.plan(), "\(inputs)") { XCTAssert(($0 as? EnhancerError)?.line.contains("expected") == true, "\($0)") }
        }
    }

    /// Whatever the sizes are, the cores cover each pixel once, and each reads its own pixel.
    func testEveryPixelOnce() throws {
        var random = Seeded(seed: 7)
        for _ in 0..<300 {
            let halo = Int.random(in: 0...4, using: &random)
            let plan = try TilePlan(
                height: .random(in: 1...60, using: &random), width: .random(in: 1...60, using: &random),
                tileHeight: 2 * halo + .random(in: 1...20, using: &random), tileWidth: 2 * halo + .random(in: 1...20, using: &random), halo: halo)
            var hits = [Int](repeating: 0, count: plan.height * plan.width)
            for row in 0..<plan.rows {
                for column in 0..<plan.columns {
                    let tile = plan.tile(row: row, column: column)
                    let (rows, columns) = (plan.sourceRows(row), plan.sourceColumns(column))
                    for y in 0..<tile.height {
                        XCTAssertEqual(rows[halo + y], tile.y + y)
                        for x in 0..<tile.width { hits[(tile.y + y) * plan.width + tile.x + x] += 1 }
                    }
                    for x in 0..<tile.width { XCTAssertEqual(columns[halo + x], tile.x + x) }
                    XCTAssert((rows + columns).allSatisfy { $0 >= 0 } && rows.max()! < plan.height && columns.max()! < plan.width)
                }
            }
            XCTAssert(hits.allSatisfy { $0 == 1 }, "\(plan)")
        }
    }
}

/// The same numbers every time (SplitMix64).
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
    }
}
