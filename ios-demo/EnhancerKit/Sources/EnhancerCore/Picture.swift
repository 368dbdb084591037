/// Gives the rows of an upright picture, interleaved R, G, B bytes: a decoder, an array. Rows are asked for in any order, some repeatedly.
public protocol PictureSource: Sendable {
    var height: Int { get }
    var width: Int { get }

    /// Writes row `y` to `rgb`, `width * 3` bytes.
    func readRow(_ y: Int, into rgb: UnsafeMutableBufferPointer<UInt8>) throws
}

/// A whole picture in memory: interleaved R, G, B, row by row.
public struct RgbPicture: Equatable, Sendable {
    public let height: Int
    public let width: Int
    /// `height * width * 3` bytes.
    public internal(set) var rgb: [UInt8]

    /// Black.
    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
        rgb = [UInt8](repeating: 0, count: height * width * 3)
    }

    /// Throws `EnhancerError.invalidPicture` if `rgb` does not hold `height * width * 3` bytes.
    public init(height: Int, width: Int, rgb: [UInt8]) throws { fatalError("to be filled in") }

    /// The rectangle `rect` of this picture. Throws `EnhancerError.invalidPicture` if it lies outside.
    public func cropped(to rect: PixelRect) throws -> RgbPicture { fatalError("to be filled in") }

    public func oriented(_ orientation: Orientation) -> RgbPicture { fatalError("to be filled in") }
}

extension RgbPicture: PictureSource {
    public func readRow(_ y: Int, into rgb: UnsafeMutableBufferPointer<UInt8>) { fatalError("to be filled in") }
}
