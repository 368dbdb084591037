extension Tensor {
    /// The golden picture as a file takes it: float32 as it is, uint8 = truncate(v * 255 + 0.5), in the file's layout. `bytes` are those of `golden`, float32.
    /// Throws `EnhancerError.invalidFile` if it is not one picture of the file's size, or the file takes other numbers.
    init(golden: GoldenTensor, bytes: [UInt8], for spec: TensorSpec) throws {
        guard golden.dtype == .float32, spec.dtype == .float32 || spec.dtype == .uint8, golden.shape.count == 4,
            Self.steps(golden.shape, golden.layout, as: spec.layout).shape == spec.shape, bytes.count == golden.bytes
        else {
            throw EnhancerError.invalidFile(
                "golden input is \(golden.dtype) of \(golden.shape) in \(golden.layout.rawValue); expected float32 that becomes \(spec.dtype) of \(spec.shape) in "
                    + spec.layout.rawValue)
        }
        self.init(spec)
        let steps = Self.steps(golden.shape, golden.layout, as: spec.layout).steps
        bytes.withUnsafeBytes { from in
            withUnsafeMutableBytes { to in
                var target = 0
                for b in 0..<spec.shape[1] {
                    for c in 0..<spec.shape[2] {
                        for d in 0..<spec.shape[3] {
                            let value = from.loadUnaligned(fromByteOffset: 4 * (b * steps[1] + c * steps[2] + d * steps[3]), as: Float.self)
                            if spec.dtype == .uint8 {
                                to[target] = PixelCodec.byte(value)
                            } else {
                                to.storeBytes(of: value, toByteOffset: target, as: Float.self)
                            }
                            target += spec.dtype.bytes
                        }
                    }
                }
            }
        }
    }

    /// A tensor's sides in another layout, and how many numbers apart the neighbours along each of them lie in the first one.
    private static func steps(_ shape: [Int], _ from: Layout, as to: Layout) -> (shape: [Int], steps: [Int]) {
        let steps = [shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3], 1]
        let order =
            switch (from, to) {
            case (.nchw, .nhwc): [0, 2, 3, 1]
            case (.nhwc, .nchw): [0, 3, 1, 2]
            default: [0, 1, 2, 3]
            }
        return (order.map { shape[$0] }, order.map { steps[$0] })
    }
}
