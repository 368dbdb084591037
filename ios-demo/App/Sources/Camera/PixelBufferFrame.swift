import CoreVideo
import DemoLogic
import EnhancerCore

/// A frame of the camera: a pixel buffer that nobody writes any more.
struct PixelBufferFrame: CameraFrame, @unchecked Sendable {
    private let buffer: CVPixelBuffer

    init(_ buffer: CVPixelBuffer) {
        self.buffer = buffer
    }

    func withFrame<R>(_ body: (Frame, FrameConverter) throws -> R) throws -> R {
        guard CVPixelBufferLockBaseAddress(buffer, .readOnly) == kCVReturnSuccess else {
            throw EnhancerError.invalidPicture("the camera's frame cannot be locked; expected its memory")
        }
        defer { CVPixelBufferUnlockBaseAddress(buffer, .readOnly) }
        let range: ColourRange
        switch CVPixelBufferGetPixelFormatType(buffer) {
        case kCVPixelFormatType_420YpCbCr8BiPlanarFullRange: range = .full
        case kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange: range = .video
        default: throw EnhancerError.invalidPicture("the camera's frames have another pixel format; expected 4:2:0 in two planes")
        }
        let planes = [plane(0, pixelStride: 1), plane(1, pixelStride: 2)]
        let frame = Frame(height: CVPixelBufferGetHeight(buffer), width: CVPixelBufferGetWidth(buffer), format: .nv12, planes: planes)
        return try body(frame, FrameConverter(matrix: matrix, range: range))
    }

    private func plane(_ index: Int, pixelStride: Int) -> Plane {
        let rowStride = CVPixelBufferGetBytesPerRowOfPlane(buffer, index)
        let bytes = rowStride * CVPixelBufferGetHeightOfPlane(buffer, index)
        let data = UnsafeRawBufferPointer(start: CVPixelBufferGetBaseAddressOfPlane(buffer, index), count: bytes)
        return Plane(data: data, rowStride: rowStride, pixelStride: pixelStride)
    }

    /// The frame says which it is; the cameras' own is BT.601.
    private var matrix: ColourMatrix {
        let found = CVBufferCopyAttachment(buffer, kCVImageBufferYCbCrMatrixKey, nil) as? String
        return found == kCVImageBufferYCbCrMatrix_ITU_R_709_2 as String ? .bt709 : .bt601
    }
}
