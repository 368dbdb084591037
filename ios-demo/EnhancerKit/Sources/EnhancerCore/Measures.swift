import Foundation

extension GoldenResult {
    /// How far `got` is from `expected`: differences of values as they are (uint8: of v / 255), in double precision. Both have the same shape and dtype, float32 or
    /// uint8. Within: all values are finite, the largest difference is at most `maxAbs` and the PSNR (peak 1, at most 100 dB) at least `minPsnrDb`.
    init(expected: [UInt8], got: [UInt8], dtype: DType, maxAbs: Double, minPsnrDb: Double) {
        let difference =
            dtype == .uint8 ? Difference(expected, got, of: UInt8.self) { Double($0) / 255 } : Difference(expected, got, of: Float.self, Double.init)
        bitEqual = expected == got
        guard difference.isFinite else {
            (within, self.maxAbs, psnrDb) = (false, nil, nil)
            return
        }
        let psnr = difference.meanSquare == 0 ? 100 : min(100, -10 * log10(difference.meanSquare))
        within = difference.largest <= maxAbs && psnr >= minPsnrDb
        self.maxAbs = difference.largest
        psnrDb = psnr
    }
}

private struct Difference {
    private(set) var largest = 0.0
    private(set) var isFinite = true
    let meanSquare: Double

    init<Number>(_ expected: [UInt8], _ got: [UInt8], of: Number.Type, _ value: (Number) -> Double) {
        precondition(expected.count == got.count && !got.isEmpty, "compared \(got.count) bytes with \(expected.count)")
        var squares = 0.0
        var largest = 0.0
        var isFinite = true
        let count = got.count / MemoryLayout<Number>.size
        expected.withUnsafeBytes { expected in
            got.withUnsafeBytes { got in
                for i in 0..<count {
                    let one = value(expected.loadUnaligned(fromByteOffset: i * MemoryLayout<Number>.size, as: Number.self))
                    let other = value(got.loadUnaligned(fromByteOffset: i * MemoryLayout<Number>.size, as: Number.self))
                    isFinite = isFinite && one.isFinite && other.isFinite
                    largest = max(largest, abs(one - other))
                    squares += (one - other) * (one - other)
                }
            }
        }
        meanSquare = squares / Double(count)
        self.largest = largest
        self.isFinite = isFinite
    }
}

extension LatencyResult {
    /// Of at least one time: sorted, the element at n / 2 and at min(n - 1, n * 9 / 10).
    init(ms: [Double], threads: Int?, peakMemoryMb: Double?) {
        let ordered = ms.sorted()
        medianMs = ordered[ordered.count / 2]
        p90Ms = ordered[min(ordered.count - 1, ordered.count * 9 / 10)]
        runs = ordered.count
        self.threads = threads
        self.peakMemoryMb = peakMemoryMb
    }
}
