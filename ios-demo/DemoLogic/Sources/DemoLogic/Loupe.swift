import EnhancerCore

/// Enhances the centre of a camera frame: as many pixels as one tile's core, so one run of the model a frame.
struct Loupe: Sendable {
    let model: OpenModel

    /// Throws EnhancerError.
    func enhance(_ frame: any CameraFrame) async throws -> RgbPicture {
        try await model.pictures.enhance(try centre(of: frame))
    }

    /// Sides of the part that is enhanced, in the frame's pixels.
    var side: PictureSize {
        let halo = model.image.tiling == .exact ? model.image.halo : 0
        return PictureSize(height: model.image.tileHeight - 2 * halo, width: model.image.tileWidth - 2 * halo)
    }

    private func centre(of frame: any CameraFrame) throws -> RgbPicture {
        try frame.withFrame { frame, converter in
            let height = min(side.height, frame.height)
            let width = min(side.width, frame.width)
            let region = PixelRect(y: (frame.height - height) / 2, x: (frame.width - width) / 2, height: height, width: width)
            return try converter.convert(frame, region: region)
        }
    }
}
