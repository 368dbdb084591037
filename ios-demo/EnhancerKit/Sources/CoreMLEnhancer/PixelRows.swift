import EnhancerCore

/// Between a uint8 tensor of one RGB picture and the rows of a BGRA pixel buffer: what a file exported with image I/O takes and gives.
struct PixelRows: Equatable {
    let height: Int
    let width: Int
    private let pixelStride: Int
    private let channelStride: Int

    /// Throws `EnhancerError.invalidManifest` for other tensors.
    init(_ spec: TensorSpec) throws {
        let sides = spec.layout == .nchw ? spec.shape.suffix(2) : spec.shape.dropFirst().prefix(2)
        let expected = spec.layout == .nchw ? [1, 3] + sides : [1] + sides + [3]
        guard spec.dtype == .uint8, spec.shape.count == 4, spec.shape == Array(expected), let height = sides.first, let width = sides.last else {
            throw EnhancerError.invalidManifest(
                "'\(spec.name)' is \(spec.dtype.rawValue) of shape \(spec.shape), the file takes pixel buffers; expected uint8 of one RGB picture")
        }
        self.height = height
        self.width = width
        pixelStride = spec.layout == .nchw ? 1 : 3
        channelStride = spec.layout == .nchw ? height * width : 1
    }

    /// `rows`: 4 bytes a pixel, `rowBytes` from one row to the next; alpha becomes 255.
    func write(_ tensor: UnsafeRawBufferPointer, to rows: UnsafeMutableRawBufferPointer, rowBytes: Int) {
        for y in 0..<height {
            for x in 0..<width {
                let from = (y * width + x) * pixelStride
                let to = y * rowBytes + 4 * x
                rows[to] = tensor[from + 2 * channelStride]
                rows[to + 1] = tensor[from + channelStride]
                rows[to + 2] = tensor[from]
                rows[to + 3] = 255
            }
        }
    }

    /// `rows`: 4 bytes a pixel, `rowBytes` from one row to the next; alpha is ignored.
    func read(_ rows: UnsafeRawBufferPointer, rowBytes: Int, into tensor: UnsafeMutableRawBufferPointer) {
        for y in 0..<height {
            for x in 0..<width {
                let to = (y * width + x) * pixelStride
                let from = y * rowBytes + 4 * x
                tensor[to] = rows[from + 2]
                tensor[to + channelStride] = rows[from + 1]
                tensor[to + 2 * channelStride] = rows[from]
            }
        }
    }
}
