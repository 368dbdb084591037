#if canImport(CoreML)
import CoreML
import EnhancerCore

/// An input or output of a model: memory that is made once and used for every run. A multi-array, or a pixel buffer for files exported with image I/O.
struct Port {
    let name: String
    private let spec: TensorSpec
    private let memory: Memory

    private enum Memory {
        case array(MLMultiArray)
        case pixels(CVPixelBuffer, PixelRows)
    }

    /// Throws EnhancerError if the file has no such feature, or it is not what the manifest says.
    init(_ spec: TensorSpec, _ description: MLFeatureDescription?) throws {
        guard let description else { throw EnhancerError.invalidManifest("the model has no '\(spec.name)'; expected the manifest's tensors") }
        name = spec.name
        self.spec = spec
        if description.type == .image {
            let rows = try PixelRows(spec)
            memory = .pixels(try Self.pixelBuffer(height: rows.height, width: rows.width), rows)
        } else if let type = spec.dtype.coreML, description.multiArrayConstraint?.dataType == type {
            memory = .array(try MLMultiArray(shape: spec.shape.map { NSNumber(value: $0) }, dataType: type))
        } else {
            throw EnhancerError.invalidManifest("'\(spec.name)' is of another type in the model; expected \(spec.dtype.rawValue), as the manifest says")
        }
    }

    var value: MLFeatureValue {
        switch memory {
        case .array(let array): MLFeatureValue(multiArray: array)
        case .pixels(let buffer, _): MLFeatureValue(pixelBuffer: buffer)
        }
    }

    /// What a prediction may write to.
    var backing: Any {
        switch memory {
        case .array(let array): array
        case .pixels(let buffer, _): buffer
        }
    }

    /// Throws EnhancerError.
    func write(_ tensor: Tensor) throws {
        guard tensor.spec.bytes == spec.bytes else {
            throw EnhancerError.modelFailed("'\(name)' takes \(spec.bytes) bytes, got \(tensor.spec.bytes); expected the manifest's tensor")
        }
        switch memory {
        case .array(let array):
            array.withUnsafeMutableBytes { bytes, strides in
                let copy = StridedCopy(shape: spec.shape, strides: strides, elementBytes: spec.dtype.bytes)
                tensor.withUnsafeBytes { copy.scatter($0, into: bytes) }
            }
        case .pixels(let buffer, let rows):
            try Self.withRows(of: buffer, flags: []) { bytes, rowBytes in
                tensor.withUnsafeBytes { rows.write($0, to: bytes, rowBytes: rowBytes) }
            }
        }
    }

    /// Copies a prediction's value: of this port's memory, or of other memory if Core ML preferred that. Throws EnhancerError.
    func read(_ value: MLFeatureValue, into tensor: inout Tensor) throws {
        switch memory {
        case .array:
            guard let array = value.multiArrayValue, array.shape.map(\.intValue) == spec.shape, array.dataType == spec.dtype.coreML else {
                throw EnhancerError.modelFailed("'\(name)' has another shape or type than the manifest says; expected \(spec.shape)")
            }
            let copy = StridedCopy(shape: spec.shape, strides: array.strides.map(\.intValue), elementBytes: spec.dtype.bytes)
            array.withUnsafeBytes { bytes in
                tensor.withUnsafeMutableBytes { copy.gather(bytes, into: $0) }
            }
        case .pixels(_, let rows):
            guard let buffer = value.imageBufferValue, CVPixelBufferGetPixelFormatType(buffer) == kCVPixelFormatType_32BGRA,
                CVPixelBufferGetHeight(buffer) == rows.height, CVPixelBufferGetWidth(buffer) == rows.width
            else {
                throw EnhancerError.modelFailed("'\(name)' is no BGRA picture of \(rows.width)x\(rows.height); expected what the manifest says")
            }
            try Self.withRows(of: buffer, flags: .readOnly) { bytes, rowBytes in
                tensor.withUnsafeMutableBytes { rows.read(UnsafeRawBufferPointer(bytes), rowBytes: rowBytes, into: $0) }
            }
        }
    }

    private static func pixelBuffer(height: Int, width: Int) throws -> CVPixelBuffer {
        var buffer: CVPixelBuffer?
        let attributes = [kCVPixelBufferIOSurfacePropertiesKey as String: [String: Any]()] as CFDictionary
        let status = CVPixelBufferCreate(nil, width, height, kCVPixelFormatType_32BGRA, attributes, &buffer)
        guard status == kCVReturnSuccess, let buffer else {
            throw EnhancerError.modelFailed("no pixel buffer of \(width)x\(height) (status \(status)); expected memory for one tile")
        }
        return buffer
    }

    private static func withRows(of buffer: CVPixelBuffer, flags: CVPixelBufferLockFlags, _ body: (UnsafeMutableRawBufferPointer, Int) -> Void) throws {
        guard CVPixelBufferLockBaseAddress(buffer, flags) == kCVReturnSuccess else {
            throw EnhancerError.modelFailed("a pixel buffer cannot be locked; expected its memory")
        }
        defer { CVPixelBufferUnlockBaseAddress(buffer, flags) }
        let rowBytes = CVPixelBufferGetBytesPerRow(buffer)
        let bytes = UnsafeMutableRawBufferPointer(start: CVPixelBufferGetBaseAddress(buffer), count: rowBytes * CVPixelBufferGetHeight(buffer))
        body(bytes, rowBytes)
    }
}

extension DType {
    /// nil for what Core ML's multi-arrays have not.
    var coreML: MLMultiArrayDataType? {
        switch self {
        case .float32: .float32
        case .float16: .float16
        case .uint8, .int8: nil
        }
    }
}
#endif
