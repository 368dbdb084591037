public enum FrameFormat: String, CaseIterable, Sendable {
    /// Planes Y and V, U interleaved.
    case nv21
    /// Planes Y and U, V interleaved: kCVPixelFormatType_420YpCbCr8BiPlanar*.
    case nv12
    /// Planes Y, U, V with strides of their own.
    case yuv420
    /// One plane of 4 bytes a pixel; alpha is ignored: kCVPixelFormatType_32BGRA.
    case bgra
}

public enum ColourMatrix: String, CaseIterable, Sendable {
    case bt601, bt709
}

public enum ColourRange: String, CaseIterable, Sendable {
    case full, video
}

/// Somebody else's memory, such as a locked pixel buffer's plane. Strides in bytes; the last row may end before its row stride does.
public struct Plane {
    public var data: UnsafeRawBufferPointer
    public var rowStride: Int
    public var pixelStride: Int

    public init(data: UnsafeRawBufferPointer, rowStride: Int, pixelStride: Int) {
        self.data = data
        self.rowStride = rowStride
        self.pixelStride = pixelStride
    }
}

/// A camera's picture. Valid as long as its planes' memory is.
public struct Frame {
    public var height: Int
    public var width: Int
    public var format: FrameFormat
    public var planes: [Plane]

    public init(height: Int, width: Int, format: FrameFormat, planes: [Plane]) {
        self.height = height
        self.width = width
        self.format = format
        self.planes = planes
    }
}

/// Camera frames to RGB bytes. `matrix` and `range` matter to the YUV formats only.
public struct FrameConverter: Equatable, Sendable {
    public var matrix: ColourMatrix
    public var range: ColourRange

    public init(matrix: ColourMatrix = .bt601, range: ColourRange = .full) {
        self.matrix = matrix
        self.range = range
    }

    /// `region` of the frame (nil: all of it), turned by `orientation`. `picture` is overwritten, in place if it has the result's size already.
    /// Throws `EnhancerError.invalidPicture` if planes or region do not fit the frame.
    public func convert(_ frame: Frame, region: PixelRect? = nil, orientation: Orientation = .upright, into picture: inout RgbPicture) throws {
        fatalError("to be filled in")
    }

    /// A new picture: see the other `convert`.
    public func convert(_ frame: Frame, region: PixelRect? = nil, orientation: Orientation = .upright) throws -> RgbPicture {
        var picture = RgbPicture(height: 0, width: 0)
        try convert(frame, region: region, orientation: orientation, into: &picture)
        return picture
    }
}
