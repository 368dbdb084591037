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
        let part = region ?? PixelRect(y: 0, x: 0, height: frame.height, width: frame.width)
        guard part.isInside(height: frame.height, width: frame.width) else {
            throw EnhancerError.invalidPicture("\(part) lies outside the frame of \(frame.height)x\(frame.width); expected a part of it")
        }
        let samples = try frame.samples()
        let isTurned = orientation.swapsSides
        picture.resize(height: isTurned ? part.width : part.height, width: isTurned ? part.height : part.width)
        let path = orientation.path(height: part.height, width: part.width)
        picture.rgb.withUnsafeMutableBufferPointer { rgb in
            if frame.format == .bgra {
                copyBgra(samples[0], part, path, rgb)
            } else {
                convertYuv(samples[0], samples[1], samples[2], part, path, rgb)
            }
        }
    }

    /// A new picture: see the other `convert`.
    public func convert(_ frame: Frame, region: PixelRect? = nil, orientation: Orientation = .upright) throws -> RgbPicture {
        var picture = RgbPicture(height: 0, width: 0)
        try convert(frame, region: region, orientation: orientation, into: &picture)
        return picture
    }

    private func copyBgra(_ samples: Samples, _ part: PixelRect, _ path: PixelPath, _ rgb: UnsafeMutableBufferPointer<UInt8>) {
        for r in 0..<part.height {
            var source = samples.offset(part.y + r, part.x)
            var target = (path.start + r * path.perRow) * 3
            for _ in 0..<part.width {
                rgb[target] = samples.data[source + 2]
                rgb[target + 1] = samples.data[source + 1]
                rgb[target + 2] = samples.data[source]
                source += samples.pixelStride
                target += 3 * path.perColumn
            }
        }
    }

    private func convertYuv(
        _ y: Samples, _ u: Samples, _ v: Samples, _ part: PixelRect, _ path: PixelPath, _ rgb: UnsafeMutableBufferPointer<UInt8>
    ) {
        let k = Coefficients(matrix, range)
        let black: Int32 = range == .video ? 16 : 0
        for r in 0..<part.height {
            let row = part.y + r
            var luma = y.offset(row, part.x)
            let (uRow, vRow) = (u.offset(row / 2, 0), v.offset(row / 2, 0))
            var target = (path.start + r * path.perRow) * 3
            for column in part.x..<part.x + part.width {
                let chroma = column >> 1
                let yy = k.y &* (Int32(y.data[luma]) &- black) &+ 32768
                let uu = Int32(u.data[uRow &+ chroma &* u.pixelStride]) &- 128
                let vv = Int32(v.data[vRow &+ chroma &* v.pixelStride]) &- 128
                rgb[target] = clip(yy &+ k.rv &* vv)
                rgb[target &+ 1] = clip(yy &- k.gu &* uu &- k.gv &* vv)
                rgb[target &+ 2] = clip(yy &+ k.bu &* uu)
                luma &+= y.pixelStride
                target &+= 3 &* path.perColumn
            }
        }
    }

    @inline(__always)
    private func clip(_ fixed: Int32) -> UInt8 {
        UInt8(truncatingIfNeeded: max(0, min(255, fixed >> 16)))
    }
}

/// Whole numbers with 16 fractional bits: tests/fixtures/README.md, colour.json.
private struct Coefficients {
    let y: Int32
    let rv: Int32
    let gu: Int32
    let gv: Int32
    let bu: Int32

    init(_ matrix: ColourMatrix, _ range: ColourRange) {
        switch (matrix, range) {
        case (.bt601, .full): (y, rv, gu, gv, bu) = (65536, 91881, 22553, 46802, 116130)
        case (.bt601, .video): (y, rv, gu, gv, bu) = (76309, 104597, 25675, 53279, 132201)
        case (.bt709, .full): (y, rv, gu, gv, bu) = (65536, 103206, 12276, 30679, 121609)
        case (.bt709, .video): (y, rv, gu, gv, bu) = (76309, 117489, 13975, 34925, 138438)
        }
    }
}

/// One component of a frame.
private struct Samples {
    let data: UnsafeRawBufferPointer
    let first: Int
    let rowStride: Int
    let pixelStride: Int

    @inline(__always)
    func offset(_ row: Int, _ column: Int) -> Int {
        first + row * rowStride + column * pixelStride
    }
}

extension Frame {
    /// B, G, R, A as one, or Y, U, V. All of them can be read without looking at the plane's size again.
    fileprivate func samples() throws -> [Samples] {
        let halves = ((height + 1) / 2, (width + 1) / 2)
        switch format {
        case .bgra:
            try require(1)
            return [try samples(0, (height, width), bytes: 4)]
        case .nv12, .nv21:
            try require(2)
            let (u, v) = format == .nv12 ? (0, 1) : (1, 0)
            return [try samples(0, (height, width)), try samples(1, halves, bytes: 2, first: u), try samples(1, halves, bytes: 2, first: v)]
        case .yuv420:
            try require(3)
            return [try samples(0, (height, width)), try samples(1, halves), try samples(2, halves)]
        }
    }

    private func require(_ count: Int) throws {
        guard planes.count == count else {
            throw EnhancerError.invalidPicture("frame of format \(format.rawValue) has \(planes.count) planes; expected \(count)")
        }
    }

    private func samples(_ index: Int, _ size: (height: Int, width: Int), bytes: Int = 1, first: Int = 0) throws -> Samples {
        let plane = planes[index]
        let row = (size.width - 1) * plane.pixelStride + bytes
        guard plane.pixelStride >= bytes, plane.rowStride >= row, plane.data.count >= (size.height - 1) * plane.rowStride + row else {
            throw EnhancerError.invalidPicture(
                "plane \(index) of a \(format.rawValue) frame of \(height)x\(width) has \(plane.data.count) bytes, row stride \(plane.rowStride) and pixel "
                    + "stride \(plane.pixelStride); expected room for \(size.height) rows of \(size.width) samples"
            )
        }
        return Samples(data: plane.data, first: first, rowStride: plane.rowStride, pixelStride: plane.pixelStride)
    }
}
