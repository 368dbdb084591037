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
    public init(height: Int, width: Int, tileHeight: Int, tileWidth: Int, halo: Int, multipleOf: Int = 1) throws {
        guard height >= 1, width >= 1 else { throw EnhancerError.invalidPicture("picture is \(height)x\(width); expected at least 1x1") }
        let size = "tile \(tileHeight)x\(tileWidth) with halo \(halo)"
        guard halo >= 0, 2 * halo < min(tileHeight, tileWidth) else {
            throw EnhancerError.invalidManifest("\(size) leaves no pixels to take; expected a tile of more than \(2 * max(halo, 0)) px a side")
        }
        guard multipleOf >= 1, [tileHeight, tileWidth, halo].allSatisfy({ $0 % multipleOf == 0 }) else {
            throw EnhancerError.invalidManifest("\(size) does not fit the network's stride; expected multiples of \(multipleOf)")
        }
        self.height = height
        self.width = width
        self.tileHeight = tileHeight
        self.tileWidth = tileWidth
        self.halo = halo
    }

    public var coreHeight: Int { tileHeight - 2 * halo }
    public var coreWidth: Int { tileWidth - 2 * halo }
    public var rows: Int { (height - 1) / coreHeight + 1 }
    public var columns: Int { (width - 1) / coreWidth + 1 }
    public var count: Int { rows * columns }

    public func tile(row: Int, column: Int) -> Tile {
        let y = row * coreHeight
        let x = column * coreWidth
        return Tile(y: y, x: x, height: min(coreHeight, height - y), width: min(coreWidth, width - x))
    }

    /// The picture row that each row of the tiles of row `row` reads.
    public func sourceRows(_ row: Int) -> [Int] {
        (0..<tileHeight).map { Self.reflected(row * coreHeight - halo + $0, height) }
    }

    /// The picture column that each column of the tiles of column `column` reads.
    public func sourceColumns(_ column: Int) -> [Int] {
        (0..<tileWidth).map { Self.reflected(column * coreWidth - halo + $0, width) }
    }

    /// The pixel, of `n`, that position `i` reads: mirrored at the edge, the edge not repeated.
    static func reflected(_ i: Int, _ n: Int) -> Int {
        if n == 1 { return 0 }
        let period = 2 * (n - 1)
        let j = ((i % period) + period) % period
        return j < n ? j : period - j
    }
}
