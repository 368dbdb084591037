import XCTest

@testable import CoreMLEnhancer

final class StridedCopyTests: XCTestCase {
    private func scattered(_ copy: StridedCopy, _ contiguous: [UInt8], filler: UInt8 = 255) -> [UInt8] {
        var strided = [UInt8](repeating: filler, count: copy.stridedBytes)
        contiguous.withUnsafeBytes { from in strided.withUnsafeMutableBytes { copy.scatter(from, into: $0) } }
        return strided
    }

    private func gathered(_ copy: StridedCopy, _ strided: [UInt8], bytes: Int) -> [UInt8] {
        var contiguous = [UInt8](repeating: 0, count: bytes)
        strided.withUnsafeBytes { from in contiguous.withUnsafeMutableBytes { copy.gather(from, into: $0) } }
        return contiguous
    }

    func testContiguousIsOneCopy() {
        let copy = StridedCopy(shape: [1, 2, 3], strides: [6, 3, 1], elementBytes: 1)
        XCTAssertEqual(copy.stridedBytes, 6)
        XCTAssertEqual(scattered(copy, [1, 2, 3, 4, 5, 6]), [1, 2, 3, 4, 5, 6])
    }

    func testRowsPaddedForAnAccelerator() {
        let copy = StridedCopy(shape: [1, 2, 2, 3], strides: [16, 8, 4, 1], elementBytes: 1)
        let numbers: [UInt8] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
        let strided = scattered(copy, numbers, filler: 0)
        XCTAssertEqual(strided, [1, 2, 3, 0, 4, 5, 6, 0, 7, 8, 9, 0, 10, 11, 12])
        XCTAssertEqual(gathered(copy, strided, bytes: 12), numbers)
    }

    func testElementsOfSeveralBytes() {
        let copy = StridedCopy(shape: [2, 2], strides: [3, 1], elementBytes: 2)
        XCTAssertEqual(scattered(copy, [1, 2, 3, 4, 5, 6, 7, 8], filler: 0), [1, 2, 3, 4, 0, 0, 5, 6, 7, 8])
    }

    func testTransposed() {
        let copy = StridedCopy(shape: [2, 3], strides: [1, 2], elementBytes: 1)
        let strided = scattered(copy, [1, 2, 3, 4, 5, 6])
        XCTAssertEqual(strided, [1, 4, 2, 5, 3, 6])
        XCTAssertEqual(gathered(copy, strided, bytes: 6), [1, 2, 3, 4, 5, 6])
    }

    /// A dimension of one element may have any stride.
    func testStrideOfSingleElements() {
        let copy = StridedCopy(shape: [1, 1, 4], strides: [999, 77, 1], elementBytes: 1)
        XCTAssertEqual(copy.stridedBytes, 4)
        XCTAssertEqual(scattered(copy, [1, 2, 3, 4]), [1, 2, 3, 4])
    }

    func testNothing() {
        let copy = StridedCopy(shape: [0, 4], strides: [4, 1], elementBytes: 4)
        XCTAssertEqual(copy.stridedBytes, 0)
        XCTAssertEqual(scattered(copy, []), [])
    }

    /// Against the plain definition: element (i, j, k) stands at i * a + j * b + k * c.
    func testAnyShape() {
        var seed: UInt64 = 7
        func random(_ range: ClosedRange<Int>) -> Int {
            seed = seed &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return range.lowerBound + Int(seed >> 33) % range.count
        }
        for _ in 0..<200 {
            let shape = [random(1...3), random(1...4), random(1...5)]
            let inner = random(1...2)
            let row = shape[2] * inner + random(0...3)
            let strides = [row * shape[1] + random(0...5), row, inner]
            let copy = StridedCopy(shape: shape, strides: strides, elementBytes: 1)
            let numbers = (0..<shape.reduce(1, *)).map { UInt8(truncatingIfNeeded: $0 + 1) }
            let strided = scattered(copy, numbers)
            var index = 0
            for i in 0..<shape[0] {
                for j in 0..<shape[1] {
                    for k in 0..<shape[2] {
                        XCTAssertEqual(strided[i * strides[0] + j * strides[1] + k * strides[2]], numbers[index], "\(shape) \(strides)")
                        index += 1
                    }
                }
            }
            XCTAssertEqual(gathered(copy, strided, bytes: numbers.count), numbers)
        }
    }
}
