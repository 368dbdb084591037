/// RGB bytes to the numbers of a model file and back.
public struct PixelCodec: Sendable {
    public let tensor: TensorSpec
    public let image: ImageSpec

    /// Throws `EnhancerError.invalidManifest` for what it cannot convert: other than three channels, float32 or uint8.
    public init(tensor: TensorSpec, image: ImageSpec) throws { fatalError("to be filled in") }

    public var height: Int { fatalError("to be filled in") }
    public var width: Int { fatalError("to be filled in") }

    /// Fills the tensor. Its pixel (r, c) is the three bytes at `rows[r] + 3 * columns[c]` of `rgb`.
    public func encode(_ rgb: [UInt8], rows: [Int], columns: [Int], into tensor: inout Tensor) { fatalError("to be filled in") }

    /// The rectangle `from` of the tensor to bytes: its pixel (r, c) becomes the three bytes at `offset + r * rowStride + 3 * c` of `rgb`. Returns whether
    /// all its values were finite (others are clamped; not-a-number becomes 0).
    public func decode(_ tensor: Tensor, from: PixelRect, into rgb: inout [UInt8], offset: Int, rowStride: Int) -> Bool { fatalError("to be filled in") }
}
