/// Enhances pictures of any size with a model file of fixed input size, one row of tiles at a time: memory is bounded by the picture's width.
///
/// Buffers are made once a picture (one tile in, one tile out, one band in and one out). A cancelled task stops before the next tile.
public struct PictureEnhancer: Sendable {
    private let choice: Choice
    public let artifact: Artifact
    public let image: ImageContract

    /// Which file a tile is for.
    private enum Choice {
        case one(any Enhancer)
        case variants(Variants)
    }

    private let encoder: PixelCodec
    private let decoder: PixelCodec

    /// After each tile: tiles done, tiles in all.
    public typealias Progress = @Sendable (_ done: Int, _ total: Int) -> Void

    /// Takes the rows of the result from top to bottom, a band at a time: `height` rows from row `y` on, interleaved R, G, B, valid during the call only.
    public typealias Sink = (_ y: Int, _ height: Int, _ rgb: UnsafeBufferPointer<UInt8>) throws -> Void

    /// Throws `EnhancerError.invalidManifest` for a contract that it cannot fulfil.
    public init(_ enhancer: any Enhancer, artifact: Artifact, image: ImageContract) throws {
        try self.init(.one(enhancer), artifact, image)
    }

    /// Each tile or picture to the variant that the bundle's rule names; `artifact` is any of the variants', as all have the same input and output.
    public init(_ variants: Variants, artifact: Artifact, image: ImageContract) throws {
        try self.init(.variants(variants), artifact, image)
    }

    private init(_ choice: Choice, _ artifact: Artifact, _ image: ImageContract) throws {
        self.choice = choice
        self.artifact = artifact
        self.image = image
        encoder = try PixelCodec(tensor: artifact.input, image: image.input)
        decoder = try PixelCodec(tensor: artifact.output, image: image.output)
    }

    /// Bytes that `enhance` keeps for a picture of this width, without those of the source, the sink and the runtime.
    public func workingBytes(width: Int) -> Int {
        let core = image.tileHeight - 2 * halo
        return artifact.input.bytes + artifact.output.bytes + 3 * width * (image.tileHeight + core * image.scale * image.scale)
    }

    /// The tiles that a picture takes. Throws as `enhance` does.
    public func plan(height: Int, width: Int) throws -> TilePlan {
        if image.tiling == .whole, height != image.tileHeight || width != image.tileWidth {
            throw EnhancerError.invalidPicture(
                "picture is \(height)x\(width); expected \(image.tileHeight)x\(image.tileWidth): this network takes whole pictures of that size only"
            )
        }
        return try TilePlan(
            height: height, width: width, tileHeight: image.tileHeight, tileWidth: image.tileWidth, halo: halo, multipleOf: image.multipleOf)
    }

    /// A network that takes whole pictures gives whole pictures.
    private var halo: Int { image.tiling == .whole ? 0 : image.halo }

    /// Gives `sink` the enhanced picture, `scale` times as high and wide. Throws `EnhancerError.modelFailed` if the model cannot run or gives values that are
    /// not finite, `.invalidPicture` for an empty picture, or one that a network without tiling does not take; CancellationError.
    public func enhance(_ source: some PictureSource, progress: Progress? = nil, into sink: Sink) async throws {
        let plan = try plan(height: source.height, width: source.width)
        let columns = (0..<plan.columns).map(plan.sourceColumns)
        let sourceStride = 3 * plan.width
        let resultStride = 3 * plan.width * image.scale
        let offsets = (0..<plan.tileHeight).map { $0 * sourceStride }
        var rows = [UInt8](repeating: 0, count: plan.tileHeight * sourceStride)
        var band = [UInt8](repeating: 0, count: plan.coreHeight * image.scale * resultStride)
        var input = Tensor(artifact.input)
        var output = Tensor(artifact.output)
        let forPicture = try enhancer(for: source)
        for r in 0..<plan.rows {
            try read(source, plan.sourceRows(r), into: &rows)
            for c in 0..<plan.columns {
                try Task.checkCancellation()
                let tile = plan.tile(row: r, column: c)
                encoder.encode(rows, rows: offsets, columns: columns[c], into: &input)
                try await (forPicture ?? enhancer(for: rows, offsets, columns[c])).run(input, into: &output)
                let core = PixelRect(
                    y: halo * image.scale, x: halo * image.scale, height: tile.height * image.scale, width: tile.width * image.scale)
                guard decoder.decode(output, from: core, into: &band, offset: 3 * tile.x * image.scale, rowStride: resultStride) else {
                    throw EnhancerError.modelFailed(
                        "\(artifact.name) gave values that are not finite for the tile at row \(tile.y), column \(tile.x); expected numbers"
                    )
                }
                progress?(r * plan.columns + c + 1, plan.count)
            }
            let height = plan.tile(row: r, column: 0).height * image.scale
            try band.withUnsafeBufferPointer {
                try sink(r * plan.coreHeight * image.scale, height, UnsafeBufferPointer(rebasing: $0[..<(height * resultStride)]))
            }
        }
    }

    /// The enhanced picture in memory.
    public func enhance(_ source: some PictureSource, progress: Progress? = nil) async throws -> RgbPicture {
        let width = source.width * image.scale
        var rgb: [UInt8] = []
        rgb.reserveCapacity(source.height * image.scale * width * 3)
        try await enhance(source, progress: progress) { _, _, band in rgb += band }
        return try RgbPicture(height: source.height * image.scale, width: width, rgb: rgb)
    }

    /// nil: each tile has its own.
    private func enhancer(for source: some PictureSource) throws -> (any Enhancer)? {
        switch choice {
        case .one(let enhancer): enhancer
        case .variants(let variants): variants.routing.unit == .tile ? nil : variants.enhancer(of: try DetailScore.of(source))
        }
    }

    /// Of the tile whose pixel (r, c) is the three bytes of `rgb` from `rows[r] + 3 * columns[c]` on.
    private func enhancer(for rgb: [UInt8], _ rows: [Int], _ columns: [Int]) -> any Enhancer {
        switch choice {
        case .one(let enhancer): enhancer
        case .variants(let variants): variants.enhancer(of: DetailScore.of(rgb, rows: rows, columns: columns))
        }
    }

    private func read(_ source: some PictureSource, _ numbers: [Int], into rows: inout [UInt8]) throws {
        let length = 3 * source.width
        try rows.withUnsafeMutableBufferPointer { rows in
            for (i, y) in numbers.enumerated() {
                try source.readRow(y, into: UnsafeMutableBufferPointer(rebasing: rows[i * length..<(i + 1) * length]))
            }
        }
    }
}
