/// `y`, `x`: where the core starts in the picture; `height`, `width`: the core's size. Input pixels.
public struct Tile: Equatable, Sendable {
    public var y: Int
    public var x: Int
    public var height: Int
    public var width: Int
}

/// The tiles that cover a picture of `height` x `width`: the rules stand in toolkit/edgekit/tiles.py.
public struct TilePlan: Equatable, Sendable {
    public let height: Int
    public let width: Int
    public let tileHeight: Int
    public let tileWidth: Int
    public let halo: Int

    /// Throws `EnhancerError.invalidManifest` for a tile and halo that leave no core or do not keep the network's phase, `.invalidPicture` for an empty picture.
    public init(height: Int, width: Int, tileHeight: Int, tileWidth: Int, halo: Int, multipleOf: Int = 1) throws { fatalError("to be filled in") }

    public var coreHeight: Int { tileHeight - 2 * halo }
    public var coreWidth: Int { tileWidth - 2 * halo }
    public var rows: Int { (height + coreHeight - 1) / coreHeight }
    public var columns: Int { (width + coreWidth - 1) / coreWidth }
    public var count: Int { rows * columns }

    public func tile(row: Int, column: Int) -> Tile { fatalError("to be filled in") }

    /// The picture row that each row of the tiles of row `row` reads.
    public func sourceRows(_ row: Int) -> [Int] { fatalError("to be filled in") }

    /// The picture column that each column of the tiles of column `column` reads.
    public func sourceColumns(_ column: Int) -> [Int] { fatalError("to be filled in") }
}
