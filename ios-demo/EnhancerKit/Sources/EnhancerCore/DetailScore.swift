/// How much detail or noise a tile or picture holds, in hundredths of a squared 8-bit step: the mean squared response of a Laplacian on luma, all in whole numbers.
/// The rules stand in toolkit/edgekit/quality.py. Takes rows from top to bottom.
struct DetailScore {
    private let width: Int
    private var above: [Int32]
    private var middle: [Int32]
    private var below: [Int32]
    private var rows = 0
    private var sum = 0

    private init(width: Int) {
        self.width = width
        above = [Int32](repeating: 0, count: width)
        middle = above
        below = above
    }

    /// Of a tile: pixel (r, c) is the three bytes of `rgb` from `rows[r] + 3 * columns[c]` on.
    static func of(_ rgb: [UInt8], rows: [Int], columns: [Int]) -> Int {
        var score = DetailScore(width: columns.count)
        rgb.withUnsafeBufferPointer { rgb in
            for row in rows { score.add(rgb) { row + 3 * columns[$0] } }
        }
        return score.value
    }

    /// Of a whole picture, which is read once, row by row.
    static func of(_ source: some PictureSource) throws -> Int {
        var score = DetailScore(width: source.width)
        var row = [UInt8](repeating: 0, count: 3 * source.width)
        for y in 0..<source.height {
            try row.withUnsafeMutableBufferPointer { row in
                try source.readRow(y, into: row)
                score.add(UnsafeBufferPointer(row)) { 3 * $0 }
            }
        }
        return score.value
    }

    private var value: Int {
        rows < 3 || width < 3 ? 0 : 100 * sum / ((rows - 2) * (width - 2))
    }

    /// A row whose pixel c is the three bytes of `rgb` from `column(c)` on.
    private mutating func add(_ rgb: UnsafeBufferPointer<UInt8>, column: (Int) -> Int) {
        swap(&above, &middle)
        swap(&middle, &below)
        for x in 0..<width {
            let at = column(x)
            below[x] = (77 * Int32(rgb[at]) + 150 * Int32(rgb[at + 1]) + 29 * Int32(rgb[at + 2]) + 128) >> 8
        }
        rows += 1
        guard rows >= 3, width >= 3 else { return }
        for x in 1..<width - 1 {
            let response = 4 * middle[x] - above[x] - below[x] - middle[x - 1] - middle[x + 1]
            sum += Int(response * response)
        }
    }
}
