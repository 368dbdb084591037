import XCTest

@testable import EnhancerCore

final class FrameConverterTests: XCTestCase {
    private struct PlaneCase: Decodable {
        var data: Data
        var rowStride: Int
        var pixelStride: Int
    }

    private struct Case: Decodable {
        var name: String
        var width: Int
        var height: Int
        var format: String
        var matrix: String
        var range: String
        var planes: [PlaneCase]
        var rgb: Data
    }

    private struct File: Decodable {
        var cases: [Case]
    }

    /// The frame's planes in memory that ends where they end.
    private func withFrame<Result>(_ test: Case, _ body: (Frame, FrameConverter) throws -> Result) throws -> Result {
        let memory = test.planes.map { plane in
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: plane.data.count, alignment: 1)
            buffer.copyBytes(from: plane.data)
            return buffer
        }
        defer { for buffer in memory { buffer.deallocate() } }
        let planes = zip(memory, test.planes).map { Plane(data: UnsafeRawBufferPointer($0), rowStride: $1.rowStride, pixelStride: $1.pixelStride) }
        let frame = Frame(height: test.height, width: test.width, format: FrameFormat(rawValue: test.format)!, planes: planes)
        return try body(frame, FrameConverter(matrix: ColourMatrix(rawValue: test.matrix)!, range: ColourRange(rawValue: test.range)!))
    }

    func testGoldenColours() throws {
        let file: File = try Fixtures.read("colour.json")
        XCTAssertGreaterThan(file.cases.count, 30)
        XCTAssertEqual(Set(file.cases.map(\.format)), Set(FrameFormat.allCases.map(\.rawValue)))
        for test in file.cases {
            let picture = try withFrame(test) { try $1.convert($0) }
            XCTAssertEqual([picture.height, picture.width], [test.height, test.width], test.name)
            XCTAssertEqual(picture.rgb, test.rgb.bytes, test.name)
        }
    }

    /// A part of a frame, turned, is what cropping and turning the whole picture gives; the picture's memory is used again.
    func testRegionsAndOrientations() throws {
        let file: File = try Fixtures.read("colour.json")
        var random = Seeded(seed: 3)
        for test in file.cases {
            let whole = try RgbPicture(height: test.height, width: test.width, rgb: test.rgb.bytes)
            var picture = RgbPicture(height: 1, width: 1)
            for turn in Orientation.Turn.allCases {
                let orientation = Orientation(turn, mirrored: .random(using: &random))
                let (y, x) = (Int.random(in: 0..<test.height, using: &random), Int.random(in: 0..<test.width, using: &random))
                let region = PixelRect(
                    y: y, x: x, height: .random(in: 1...(test.height - y), using: &random), width: .random(in: 1...(test.width - x), using: &random))
                try withFrame(test) { try $1.convert($0, region: region, orientation: orientation, into: &picture) }
                XCTAssertEqual(picture, try whole.cropped(to: region).oriented(orientation), "\(test.name) \(region) \(orientation)")
            }
        }
    }

    func testMemoryIsKept() throws {
        let test = try XCTUnwrap(Fixtures.read("colour.json", as: File.self).cases.first { $0.format == "nv12" })
        var picture = RgbPicture(height: test.height, width: test.width)
        let before = picture.rgb.withUnsafeBytes { $0.baseAddress }
        try withFrame(test) { try $1.convert($0, into: &picture) }
        XCTAssertEqual(before, picture.rgb.withUnsafeBytes { $0.baseAddress })
    }

    func testRefusals() throws {
        let bytes = [UInt8](repeating: 0, count: 64)
        try bytes.withUnsafeBytes { bytes in
            func plane(_ count: Int, _ rowStride: Int, _ pixelStride: Int) -> Plane {
                Plane(data: UnsafeRawBufferPointer(rebasing: bytes[..<count]), rowStride: rowStride, pixelStride: pixelStride)
            }
            let converter = FrameConverter()
            let bad: [(String, Frame)] = [
                ("1 planes", Frame(height: 4, width: 4, format: .nv12, planes: [plane(16, 4, 1)])),
                ("plane 0", Frame(height: 4, width: 4, format: .bgra, planes: [plane(63, 16, 4)])),
                ("plane 1", Frame(height: 4, width: 4, format: .nv12, planes: [plane(16, 4, 1), plane(7, 4, 2)])),
                ("plane 1", Frame(height: 4, width: 4, format: .nv21, planes: [plane(16, 4, 1), plane(16, 4, 1)])),
                ("plane 2", Frame(height: 4, width: 5, format: .yuv420, planes: [plane(20, 5, 1), plane(6, 3, 1), plane(6, 2, 1)])),
                ("outside", Frame(height: 0, width: 4, format: .bgra, planes: [plane(64, 16, 4)])),
            ]
            for (what, frame) in bad {
                XCTAssertThrowsError(try converter.convert(frame)) { XCTAssert("\($0)".contains(what), "\($0)") }
            }
            let good = Frame(height: 4, width: 4, format: .bgra, planes: [plane(64, 16, 4)])
            XCTAssertNoThrow(try converter.convert(good))
            for region in [PixelRect(y: 1, x: 0, height: 4, width: 4), PixelRect(y: 0, x: -1, height: 1, width: 1), PixelRect(y: 0, x: 0, height: 0, width: 1)]
            {
                XCTAssertThrowsError(try converter.convert(good, region: region))
            }
        }
    }
}
