/// Enhances pictures of any size with a model file of fixed input size, one row of tiles at a time: memory is bounded by the picture's width.
///
/// Buffers are made once a picture (one tile in, one tile out, one band in and one out). A cancelled task stops before the next tile.
public struct PictureEnhancer: Sendable {
    public let enhancer: any Enhancer
    public let artifact: Artifact
    public let image: ImageContract

    /// After each tile: tiles done, tiles in all.
    public typealias Progress = @Sendable (_ done: Int, _ total: Int) -> Void

    /// Takes the rows of the result from top to bottom, a band at a time: `height` rows from row `y` on, interleaved R, G, B, valid during the call only.
    public typealias Sink = (_ y: Int, _ height: Int, _ rgb: UnsafeBufferPointer<UInt8>) throws -> Void

    /// Throws `EnhancerError.invalidManifest` for a contract that it cannot fulfil.
    public init(_ enhancer: any Enhancer, artifact: Artifact, image: ImageContract) throws { fatalError("to be filled in") }

    /// Bytes that `enhance` keeps for a picture of this width, without those of the source, the sink and the runtime.
    public func workingBytes(width: Int) -> Int { fatalError("to be filled in") }

    /// Tiles that a picture takes. Throws as `enhance` does.
    public func plan(height: Int, width: Int) throws -> TilePlan { fatalError("to be filled in") }

    /// Gives `sink` the enhanced picture, `scale` times as high and wide. Throws `EnhancerError.modelFailed` if the model cannot run or gives values that are
    /// not finite, `.invalidPicture` for an empty picture, or one that a network without tiling does not take; CancellationError.
    public func enhance(_ source: some PictureSource, progress: Progress? = nil, into sink: Sink) async throws { fatalError("to be filled in") }

    /// The enhanced picture in memory.
    public func enhance(_ source: some PictureSource, progress: Progress? = nil) async throws -> RgbPicture { fatalError("to be filled in") }
}
