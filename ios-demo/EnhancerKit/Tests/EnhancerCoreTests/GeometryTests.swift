import XCTest

@testable import EnhancerCore

final class GeometryTests: XCTestCase {
    private struct Rotation: Decodable {
        var height: Int
        var width: Int
        var rgb: Data
        var degrees: Int
        var mirror: Bool
        var outHeight: Int
        var outWidth: Int
        var outRgb: Data
    }

    private struct Crop: Decodable {
        var height: Int
        var width: Int
        var aspect: [Int]
        var rect: [Int]
    }

    private struct File: Decodable {
        var rotations: [Rotation]
        var crops: [Crop]
    }

    func testGoldenRotations() throws {
        let file: File = try Fixtures.read("geometry.json")
        XCTAssertGreaterThan(file.rotations.count, 20)
        for test in file.rotations {
            let picture = try RgbPicture(height: test.height, width: test.width, rgb: test.rgb.bytes)
            let turn = try XCTUnwrap(Orientation.Turn(rawValue: test.degrees))
            let expected = try RgbPicture(height: test.outHeight, width: test.outWidth, rgb: test.outRgb.bytes)
            XCTAssertEqual(picture.oriented(Orientation(turn, mirrored: test.mirror)), expected, "\(test)")
        }
    }

    func testGoldenCrops() throws {
        let file: File = try Fixtures.read("geometry.json")
        XCTAssertGreaterThan(file.crops.count, 10)
        for test in file.crops {
            let rect = PixelRect.centred(height: test.height, width: test.width, aspectWidth: test.aspect[0], aspectHeight: test.aspect[1])
            XCTAssertEqual([rect.y, rect.x, rect.height, rect.width], test.rect, "\(test)")
        }
    }

    func testCropping() throws {
        let picture = try RgbPicture(height: 2, width: 3, rgb: Array(0..<18))
        XCTAssertEqual(try picture.cropped(to: PixelRect(y: 1, x: 1, height: 1, width: 2)).rgb, Array(12..<18))
        XCTAssertThrowsError(try picture.cropped(to: PixelRect(y: 1, x: 1, height: 2, width: 2)))
        XCTAssertThrowsError(try RgbPicture(height: 2, width: 3, rgb: Array(0..<17)))
    }
}
