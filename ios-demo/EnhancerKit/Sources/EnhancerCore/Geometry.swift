/// A rectangle of whole pixels.
public struct PixelRect: Equatable, Sendable {
    public var y: Int
    public var x: Int
    public var height: Int
    public var width: Int

    public init(y: Int, x: Int, height: Int, width: Int) {
        self.y = y
        self.x = x
        self.height = height
        self.width = width
    }

    /// The largest centred rectangle of this aspect (width : height) in a picture of `height` x `width`; all at least 1.
    public static func centred(height: Int, width: Int, aspectWidth: Int, aspectHeight: Int) -> PixelRect {
        var (partHeight, partWidth) = (height, width)
        if width * aspectHeight > height * aspectWidth {
            partWidth = max(1, height * aspectWidth / aspectHeight)
        } else {
            partHeight = max(1, width * aspectHeight / aspectWidth)
        }
        return PixelRect(y: (height - partHeight) / 2, x: (width - partWidth) / 2, height: partHeight, width: partWidth)
    }

    func isInside(height: Int, width: Int) -> Bool {
        y >= 0 && x >= 0 && self.height >= 1 && self.width >= 1 && y <= height - self.height && x <= width - self.width
    }
}

/// How far clockwise a picture is turned; then, if `mirrored`, its left and right change places.
public struct Orientation: Equatable, Sendable {
    public enum Turn: Int, CaseIterable, Sendable {
        case none = 0
        case right = 90
        case half = 180
        case left = 270
    }

    public var turn: Turn
    public var mirrored: Bool

    public static let upright = Orientation()

    public init(_ turn: Turn = .none, mirrored: Bool = false) {
        self.turn = turn
        self.mirrored = mirrored
    }

    public var swapsSides: Bool { turn == .right || turn == .left }

    /// Where pixel (r, c) of a picture of `height` x `width` goes, counted in pixels of the result.
    func path(height: Int, width: Int) -> PixelPath {
        let outWidth = swapsSides ? height : width
        // The result's row, and its column, is the first number + r * the second + c * the third.
        let row: (Int, Int, Int)
        var column: (Int, Int, Int)
        switch turn {
        case .none: (row, column) = ((0, 1, 0), (0, 0, 1))
        case .right: (row, column) = ((0, 0, 1), (height - 1, -1, 0))
        case .half: (row, column) = ((height - 1, -1, 0), (width - 1, 0, -1))
        case .left: (row, column) = ((width - 1, 0, -1), (0, 1, 0))
        }
        if mirrored { column = (outWidth - 1 - column.0, -column.1, -column.2) }
        return PixelPath(start: row.0 * outWidth + column.0, perRow: row.1 * outWidth + column.1, perColumn: row.2 * outWidth + column.2)
    }
}

/// Pixel (r, c) goes to pixel `start + r * perRow + c * perColumn`.
struct PixelPath {
    let start: Int
    let perRow: Int
    let perColumn: Int
}
