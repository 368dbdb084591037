import EnhancerCore
import XCTest

@testable import CoreMLEnhancer

final class PixelRowsTests: XCTestCase {
    private func spec(_ shape: [Int], _ layout: Layout, _ dtype: DType = .uint8) -> TensorSpec {
        TensorSpec(name: "image", shape: shape, layout: layout, dtype: dtype, range: ValueRange(lowest: 0, highest: 255))
    }

    private func written(_ rows: PixelRows, _ tensor: [UInt8], rowBytes: Int) -> [UInt8] {
        var bytes = [UInt8](repeating: 99, count: rowBytes * rows.height)
        tensor.withUnsafeBytes { from in bytes.withUnsafeMutableBytes { rows.write(from, to: $0, rowBytes: rowBytes) } }
        return bytes
    }

    func testPlanesBecomeBlueGreenRedAlpha() throws {
        let rows = try PixelRows(spec([1, 3, 2, 1], .nchw))
        XCTAssertEqual(written(rows, [1, 2, 10, 20, 100, 200], rowBytes: 8), [100, 10, 1, 255, 99, 99, 99, 99, 200, 20, 2, 255, 99, 99, 99, 99])
    }

    func testInterleavedPixels() throws {
        let rows = try PixelRows(spec([1, 1, 2, 3], .nhwc))
        XCTAssertEqual(written(rows, [1, 2, 3, 4, 5, 6], rowBytes: 8), [3, 2, 1, 255, 6, 5, 4, 255])
    }

    func testThereAndBack() throws {
        for (shape, layout) in [([1, 3, 5, 7], Layout.nchw), ([1, 5, 7, 3], .nhwc)] {
            let rows = try PixelRows(spec(shape, layout))
            XCTAssertEqual([rows.height, rows.width], [5, 7])
            let tensor = (0..<105).map { UInt8($0) }
            let bytes = written(rows, tensor, rowBytes: 32)
            var back = [UInt8](repeating: 0, count: 105)
            bytes.withUnsafeBytes { from in back.withUnsafeMutableBytes { rows.read(from, rowBytes: 32, into: $0) } }
            XCTAssertEqual(back, tensor)
        }
    }

    func testOtherTensorsAreRefused() {
        for other in [
            spec([1, 3, 4, 4], .nchw, .float32), spec([1, 4, 4, 4], .nchw), spec([2, 3, 4, 4], .nchw), spec([1, 4, 4], .nhwc), spec([1, 4, 4, 1], .nhwc),
        ] {
            XCTAssertThrowsError(try PixelRows(other)) { error in
                guard case .invalidManifest(let line)? = error as? EnhancerError else { return XCTFail("\(error)") }
                XCTAssertTrue(line.contains("expected uint8 of one RGB picture"), line)
            }
        }
    }
}
