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

    /// The largest centred rectangle of this aspect (width : height) in a picture of `height` x `width`.
    public static func centred(height: Int, width: Int, aspectWidth: Int, aspectHeight: Int) -> PixelRect { fatalError("to be filled in") }
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
}
