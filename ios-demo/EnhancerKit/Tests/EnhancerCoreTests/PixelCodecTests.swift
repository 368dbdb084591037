import XCTest

@testable import EnhancerCore

final class PixelCodecTests: XCTestCase {
    private struct Case: Decodable {
        var colour: String
        var layout: String
        var dtype: String
        var mean: [Double]
        var std: [Double]
        var height: Int
        var width: Int
        var rgb: Data
        var tensor: Data

        func codec() throws -> PixelCodec {
            let layout = try XCTUnwrap(Layout(rawValue: layout))
            let shape = layout == .nchw ? [1, 3, height, width] : [1, height, width, 3]
            let spec = TensorSpec(name: "tensor", shape: shape, layout: layout, dtype: try XCTUnwrap(DType(rawValue: dtype)))
            let image = ImageSpec(name: "image", colour: try XCTUnwrap(Colour(rawValue: colour)), mean: mean.map(Float.init), std: std.map(Float.init))
            return try PixelCodec(tensor: spec, image: image)
        }
    }

    private struct File: Decodable {
        var cases: [Case]
        var back: [Case]
    }

    func testGoldenNumbers() throws {
        let file: File = try Fixtures.read("pixels.json")
        XCTAssertGreaterThan(file.cases.count, 20)
        for test in file.cases {
            let codec = try test.codec()
            var tensor = Tensor(codec.tensor)
            codec.encode(test.rgb.bytes, rows: (0..<test.height).map { $0 * test.width * 3 }, columns: Array(0..<test.width), into: &tensor)
            XCTAssertEqual(tensor.bytes, test.tensor.bytes, "\(test.colour) \(test.layout) \(test.dtype) \(test.mean) \(test.height)x\(test.width)")
        }
    }

    func testGoldenBytes() throws {
        let file: File = try Fixtures.read("pixels.json")
        XCTAssertGreaterThan(file.back.count, 20)
        for test in file.back {
            let codec = try test.codec()
            let tensor = try Tensor(codec.tensor, bytes: test.tensor.bytes)
            var rgb = [UInt8](repeating: 77, count: test.rgb.count)
            let areFinite = codec.decode(
                tensor, from: PixelRect(y: 0, x: 0, height: test.height, width: test.width), into: &rgb, offset: 0, rowStride: 3 * test.width)
            XCTAssertEqual(rgb, test.rgb.bytes, "\(test.colour) \(test.layout) \(test.dtype) \(test.mean) \(test.height)x\(test.width)")
            let floats = test.tensor.withUnsafeBytes { raw in
                stride(from: 0, to: raw.count, by: 4).map { raw.loadUnaligned(fromByteOffset: $0, as: Float.self) }
            }
            XCTAssertEqual(areFinite, test.dtype == "uint8" || floats.allSatisfy(\.isFinite))
        }
    }

    /// Bytes come back as they were, through the picked rows and columns and into the middle of a band.
    func testThereAndBack() throws {
        let spec = TensorSpec(name: "", shape: [1, 3, 4, 5], layout: .nchw, dtype: .float32)
        let codec = try PixelCodec(tensor: spec, image: ImageSpec(name: "", colour: .bgr, mean: [0.5, 0.25, 0.125], std: [0.5, 2, 0.25]))
        var random = Seeded(seed: 1)
        let rgb = random.bytes(300)
        let (rows, columns) = ([90, 0, 60, 60], [9, 0, 3, 3, 1])
        var tensor = Tensor(spec)
        codec.encode(rgb, rows: rows, columns: columns, into: &tensor)
        var band = [UInt8](repeating: 0, count: 100)
        XCTAssert(codec.decode(tensor, from: PixelRect(y: 1, x: 2, height: 2, width: 3), into: &band, offset: 7, rowStride: 31))
        var expected = [UInt8](repeating: 0, count: 100)
        for r in 0..<2 {
            for c in 0..<3 {
                let source = rows[1 + r] + 3 * columns[2 + c]
                expected.replaceSubrange((7 + r * 31 + 3 * c)..<(10 + r * 31 + 3 * c), with: rgb[source..<source + 3])
            }
        }
        XCTAssertEqual(band, expected)
    }

    func testRefusals() {
        let image = ImageSpec(name: "image")
        let spec = TensorSpec(name: "tensor", shape: [1, 3, 8, 8], layout: .nchw, dtype: .float32)
        var bad = [(spec, image), (spec, image), (spec, image), (spec, image)]
        bad[0].0.dtype = .float16
        bad[1].0.layout = .nhwc
        bad[2].1.colour = .luma
        bad[3].1.channels = 1
        for (tensor, image) in bad {
            XCTAssertThrowsError(try PixelCodec(tensor: tensor, image: image)) { XCTAssert("\($0)".contains("expected"), "\($0)") }
        }
    }
}
