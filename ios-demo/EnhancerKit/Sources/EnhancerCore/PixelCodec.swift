/// RGB bytes to the numbers of a model file and back: tests/fixtures/README.md, pixels.json.
public struct PixelCodec: Sendable {
    public let tensor: TensorSpec
    public let image: ImageSpec
    public let height: Int
    public let width: Int

    /// Numbers from a channel's value to the next one's, and from a pixel's to the next one's.
    private let channelStride: Int
    private let pixelStride: Int
    /// Which byte of R, G, B a channel of the file is.
    private let bytes: [Int]
    private let mean: [Float]
    private let std: [Float]
    /// What each of the 256 bytes becomes, channel by channel.
    private let table: [Float]

    /// Throws `EnhancerError.invalidManifest` for what it cannot convert: other than one picture of three channels, float32 or uint8.
    public init(tensor: TensorSpec, image: ImageSpec) throws {
        guard image.channels == 3, image.colour == .rgb || image.colour == .bgr else {
            throw EnhancerError.invalidManifest("'\(image.name)' has \(image.channels) channels of colour \(image.colour); expected 3 of rgb or bgr")
        }
        guard tensor.dtype == .float32 || tensor.dtype == .uint8 else {
            throw EnhancerError.invalidManifest("'\(tensor.name)' is of \(tensor.dtype); expected float32 or uint8")
        }
        let isPlanar = tensor.layout == .nchw
        guard tensor.shape.count == 4, tensor.shape[0] == 1, tensor.shape[isPlanar ? 1 : 3] == 3 else {
            throw EnhancerError.invalidManifest("'\(tensor.name)' has shape \(tensor.shape) in \(tensor.layout.rawValue); expected one picture of 3 channels")
        }
        self.tensor = tensor
        self.image = image
        height = tensor.shape[isPlanar ? 2 : 1]
        width = tensor.shape[isPlanar ? 3 : 2]
        channelStride = isPlanar ? height * width : 1
        pixelStride = isPlanar ? 1 : 3
        bytes = image.colour == .rgb ? [0, 1, 2] : [2, 1, 0]
        mean = (0..<3).map { image.mean[image.mean.count == 1 ? 0 : $0] }
        std = (0..<3).map { image.std[image.std.count == 1 ? 0 : $0] }
        table = zip(mean, std).flatMap { mean, std in (0..<256).map { (Float($0) / 255 - mean) / std } }
    }

    /// Fills the tensor. Its pixel (r, c) is the three bytes at `rows[r] + 3 * columns[c]` of `rgb`; as many rows and columns as the tensor has.
    public func encode(_ rgb: [UInt8], rows: [Int], columns: [Int], into tensor: inout Tensor) {
        precondition(tensor.spec == self.tensor && rows.count == height && columns.count == width, "the tensor or the tile is not this codec's")
        precondition(rows.max()! + 3 * columns.max()! + 3 <= rgb.count && rows.min()! >= 0 && columns.min()! >= 0, "the tile lies outside the bytes")
        rgb.withUnsafeBufferPointer { rgb in
            tensor.withUnsafeMutableBytes { raw in
                if self.tensor.dtype == .uint8 {
                    raw.withMemoryRebound(to: UInt8.self) { fill($0, rgb, rows, columns) { byte, _ in byte } }
                } else {
                    table.withUnsafeBufferPointer { table in
                        raw.withMemoryRebound(to: Float.self) { fill($0, rgb, rows, columns) { byte, channel in table[channel << 8 | Int(byte)] } }
                    }
                }
            }
        }
    }

    @inline(__always)
    private func fill<Number>(
        _ numbers: UnsafeMutableBufferPointer<Number>, _ rgb: UnsafeBufferPointer<UInt8>, _ rows: [Int], _ columns: [Int],
        _ number: (_ byte: UInt8, _ channel: Int) -> Number
    ) {
        let (first, second, third) = (bytes[0], bytes[1], bytes[2])
        columns.withUnsafeBufferPointer { columns in
            var target = 0
            for row in rows {
                for column in columns {
                    let source = row &+ 3 &* column
                    numbers[target] = number(rgb[source + first], 0)
                    numbers[target + channelStride] = number(rgb[source + second], 1)
                    numbers[target + 2 * channelStride] = number(rgb[source + third], 2)
                    target += pixelStride
                }
            }
        }
    }

    /// The rectangle `from` of the tensor to bytes: its pixel (r, c) becomes the three bytes at `offset + r * rowStride + 3 * c` of `rgb`. Returns whether
    /// all its values were finite (others are clamped; not-a-number becomes 0).
    public func decode(_ tensor: Tensor, from: PixelRect, into rgb: inout [UInt8], offset: Int, rowStride: Int) -> Bool {
        precondition(tensor.spec == self.tensor && from.isInside(height: height, width: width), "the tensor or the rectangle is not this codec's")
        precondition(offset >= 0 && offset + (from.height - 1) * rowStride + 3 * from.width <= rgb.count, "the rectangle does not fit the bytes")
        return rgb.withUnsafeMutableBufferPointer { rgb in
            tensor.withUnsafeBytes { raw in
                if self.tensor.dtype == .uint8 {
                    raw.withMemoryRebound(to: UInt8.self) { take($0, from, rgb, offset, rowStride) { value, _, _ in value } }
                    return true
                }
                return raw.withMemoryRebound(to: Float.self) { numbers in
                    var largest: UInt32 = 0
                    take(numbers, from, rgb, offset, rowStride) { number, mean, std in
                        largest = max(largest, number.magnitude.bitPattern)
                        return Self.byte(number * std + mean)
                    }
                    return largest < Float.infinity.bitPattern
                }
            }
        }
    }

    @inline(__always)
    private func take<Number>(
        _ numbers: UnsafeBufferPointer<Number>, _ from: PixelRect, _ rgb: UnsafeMutableBufferPointer<UInt8>, _ offset: Int, _ rowStride: Int,
        _ byte: (Number, _ mean: Float, _ std: Float) -> UInt8
    ) {
        for channel in 0..<3 {
            let (mean, std) = (mean[channel], std[channel])
            for r in 0..<from.height {
                var source = ((from.y + r) * width + from.x) * pixelStride + channel * channelStride
                var target = offset + r * rowStride + bytes[channel]
                for _ in 0..<from.width {
                    rgb[target] = byte(numbers[source], mean, std)
                    source &+= pixelStride
                    target &+= 3
                }
            }
        }
    }

    /// A value in [0, 1] as a byte; others are clamped. Both comparisons are false for not-a-number, which becomes 0.
    @inline(__always)
    static func byte(_ value: Float) -> UInt8 {
        let atLeast: Float = value > 0 ? value : 0
        let clamped: Float = atLeast < 1 ? atLeast : 1
        return UInt8(truncatingIfNeeded: Int32(clamped * 255 + 0.5))
    }
}
