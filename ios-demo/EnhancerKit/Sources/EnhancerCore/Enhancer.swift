/// Numbers of one model input or output: raw, in native (little-endian) byte order, contiguous in the order of the spec's layout.
public struct Tensor: Equatable, Sendable {
    public let spec: TensorSpec
    /// Always `spec.bytes` many.
    public private(set) var bytes: [UInt8]

    /// Zeros.
    public init(_ spec: TensorSpec) {
        self.spec = spec
        bytes = [UInt8](repeating: 0, count: spec.bytes)
    }

    /// Throws `EnhancerError.invalidPicture` if `bytes` are not as many as the spec says.
    public init(_ spec: TensorSpec, bytes: [UInt8]) throws {
        guard bytes.count == spec.bytes else {
            throw EnhancerError.invalidPicture("tensor '\(spec.name)' has \(bytes.count) bytes; expected \(spec.bytes)")
        }
        self.spec = spec
        self.bytes = bytes
    }

    /// The bytes in place, for a runtime to write; nothing is copied while nobody else holds this tensor.
    public mutating func withUnsafeMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
        try bytes.withUnsafeMutableBytes { try body($0) }
    }

    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try bytes.withUnsafeBytes { try body($0) }
    }
}

/// An opened model file. An actor fulfils this: it owns the runtime's model, which never leaves it.
public protocol Enhancer: Sendable {
    /// Such as "Core ML, all compute units", for the self-test's report.
    var runtime: String { get }

    /// Threads that a run uses, at least 1; nil where the runtime decides.
    var threads: Int? { get }

    /// `input` is of the artifact's input spec, `output` of its output spec; all of `output` is overwritten, in place. Throws `EnhancerError.modelFailed`.
    func run(_ input: Tensor, into output: inout Tensor) async throws

    /// Frees the model; `run` must not be called afterwards.
    func close() async
}
