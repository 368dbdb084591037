/// Gives the rows of an upright picture, interleaved R, G, B bytes: a decoder, an array. Rows are asked for in any order, some repeatedly.
public protocol PictureSource: Sendable {
    var height: Int { get }
    var width: Int { get }

    /// Writes row `y` to `rgb`, `width * 3` bytes.
    func readRow(_ y: Int, into rgb: UnsafeMutableBufferPointer<UInt8>) throws
}

/// A whole picture in memory: interleaved R, G, B, row by row.
public struct RgbPicture: Equatable, Sendable {
    public private(set) var height: Int
    public private(set) var width: Int
    /// `height * width * 3` bytes.
    public internal(set) var rgb: [UInt8]

    /// Black.
    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
        rgb = [UInt8](repeating: 0, count: height * width * 3)
    }

    /// Throws `EnhancerError.invalidPicture` if `rgb` does not hold `height * width * 3` bytes.
    public init(height: Int, width: Int, rgb: [UInt8]) throws {
        guard height >= 0, width >= 0, rgb.count == height * width * 3 else {
            throw EnhancerError.invalidPicture("picture of \(height)x\(width) has \(rgb.count) bytes; expected \(height * width * 3)")
        }
        self.height = height
        self.width = width
        self.rgb = rgb
    }

    /// The rectangle `rect` of this picture. Throws `EnhancerError.invalidPicture` if it lies outside.
    public func cropped(to rect: PixelRect) throws -> RgbPicture {
        guard rect.isInside(height: height, width: width) else {
            throw EnhancerError.invalidPicture("\(rect) lies outside the picture of \(height)x\(width); expected a part of it")
        }
        var part: [UInt8] = []
        part.reserveCapacity(rect.height * rect.width * 3)
        for y in rect.y..<rect.y + rect.height {
            let start = (y * width + rect.x) * 3
            part += rgb[start..<start + rect.width * 3]
        }
        return try RgbPicture(height: rect.height, width: rect.width, rgb: part)
    }

    public func oriented(_ orientation: Orientation) -> RgbPicture {
        if orientation == .upright { return self }
        var result = orientation.swapsSides ? RgbPicture(height: width, width: height) : RgbPicture(height: height, width: width)
        let path = orientation.path(height: height, width: width)
        rgb.withUnsafeBufferPointer { from in
            result.rgb.withUnsafeMutableBufferPointer { to in
                var source = 0
                for r in 0..<height {
                    var target = (path.start + r * path.perRow) * 3
                    for _ in 0..<width {
                        to[target] = from[source]
                        to[target + 1] = from[source + 1]
                        to[target + 2] = from[source + 2]
                        source += 3
                        target += 3 * path.perColumn
                    }
                }
            }
        }
        return result
    }

    /// Gets another size; what it shows is then undefined, its memory is kept where it suffices.
    mutating func resize(height: Int, width: Int) {
        guard height != self.height || width != self.width else { return }
        let count = height * width * 3
        if rgb.count > count {
            rgb.removeLast(rgb.count - count)
        } else {
            rgb.append(contentsOf: repeatElement(0, count: count - rgb.count))
        }
        self.height = height
        self.width = width
    }
}

extension RgbPicture: PictureSource {
    public func readRow(_ y: Int, into row: UnsafeMutableBufferPointer<UInt8>) {
        rgb.withUnsafeBufferPointer { _ = row.update(fromContentsOf: $0[y * width * 3..<(y + 1) * width * 3]) }
    }
}
