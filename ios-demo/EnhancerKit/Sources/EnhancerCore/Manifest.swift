/// What an app needs of manifest.json (schema version 1). Keys that it does not know are ignored: the file may be newer than the app.
public struct Manifest: Equatable, Sendable {
    /// ISO 8601, UTC.
    public var created: String
    public var model: Model
    public var image: ImageContract
    public var artifacts: [Artifact]
    public var golden: Golden
    /// nil if no file is a variant.
    public var routing: Routing?

    /// Variant -> its file of the artifact's backend and recipe; of a bundle without variants, none.
    public func siblings(of artifact: Artifact) -> [String: Artifact] {
        let same = artifacts.filter { $0.backend == artifact.backend && $0.recipe == artifact.recipe }
        return Dictionary(uniqueKeysWithValues: same.compactMap { file in file.variant.map { ($0, file) } })
    }

    /// The golden output of an artifact; nil if the bundle holds none.
    public func golden(of artifact: Artifact) -> GoldenOutput? {
        golden.outputs.first { $0.artifact == artifact.name }
    }
}

public struct Model: Equatable, Sendable {
    public var name: String
    public var licence: String
    public var scale: Int
}

public enum Tiling: String, CaseIterable, Codable, Sendable {
    /// Tiles with a halo give what the whole picture gives.
    case exact
    /// The picture must have the tile's size; it is never cut.
    case whole
}

/// How a picture becomes tiles and numbers. Sizes in input pixels; the tile includes the halo.
public struct ImageContract: Equatable, Sendable {
    public var input: ImageSpec
    public var output: ImageSpec
    public var scale: Int
    public var tiling: Tiling
    public var tileHeight: Int
    public var tileWidth: Int
    public var halo: Int
    public var multipleOf: Int
}

public enum Colour: String, CaseIterable, Codable, Sendable {
    case rgb, bgr, grey, luma, mask, scalar, state
}

/// A pixel v in [0, 1] becomes (v - mean) / std. `mean` and `std` have one value, or one a channel in the order of `colour`.
public struct ImageSpec: Equatable, Sendable {
    public var name: String
    public var channels: Int
    public var colour: Colour
    public var mean: [Float]
    public var std: [Float]
    public var range: ValueRange

    public init(name: String, channels: Int = 3, colour: Colour = .rgb, mean: [Float] = [0], std: [Float] = [1], range: ValueRange = .unit) {
        self.name = name
        self.channels = channels
        self.colour = colour
        self.mean = mean
        self.std = std
        self.range = range
    }
}

public struct ValueRange: Equatable, Sendable {
    public var lowest: Double
    public var highest: Double

    public static let unit = ValueRange(lowest: 0, highest: 1)

    public init(lowest: Double, highest: Double) {
        self.lowest = lowest
        self.highest = highest
    }
}

public enum Layout: String, CaseIterable, Codable, Sendable {
    case nchw = "NCHW"
    case nhwc = "NHWC"
}

public enum DType: String, CaseIterable, Codable, Sendable {
    case float32, float16, uint8, int8

    /// Of one number.
    public var bytes: Int {
        switch self {
        case .float32: 4
        case .float16: 2
        case .uint8, .int8: 1
        }
    }
}

/// One input or output of a model file. `shape` is in `layout` order.
public struct TensorSpec: Equatable, Sendable {
    public var name: String
    public var shape: [Int]
    public var layout: Layout
    public var dtype: DType
    public var range: ValueRange

    public init(name: String, shape: [Int], layout: Layout, dtype: DType, range: ValueRange = .unit) {
        self.name = name
        self.shape = shape
        self.layout = layout
        self.dtype = dtype
        self.range = range
    }

    public var bytes: Int { shape.reduce(dtype.bytes, *) }
}

/// One model file. `backend` is "executorch", "tflite", "coreml" ...; `file` a path in the bundle; `sha256` 64 small hexadecimal digits.
public struct Artifact: Equatable, Sendable {
    public var name: String
    public var file: String
    public var backend: String
    public var delegate: String
    public var precision: String
    public var bytes: Int
    public var sha256: String
    public var input: TensorSpec
    public var output: TensorSpec
    public var recipe = ""
    /// The one of `Routing` that the file is of.
    public var variant: String?
}

/// One tile in, and what each artifact gave for it where the bundle was made.
public struct Golden: Equatable, Sendable {
    public var input: GoldenTensor
    public var outputs: [GoldenOutput]
}

/// A raw little-endian file of the bundle, contiguous in `layout` order.
public struct GoldenTensor: Equatable, Sendable {
    public var file: String
    public var shape: [Int]
    public var layout: Layout
    public var dtype: DType
    public var bytes: Int
    public var sha256: String
}

/// On another device each value may differ by `maxAbs` (on the [0, 1] scale), and the tile must reach `minPsnrDb`.
public struct GoldenOutput: Equatable, Sendable {
    public var artifact: String
    public var output: GoldenTensor
    public var maxAbs: Double
    public var minPsnrDb: Double
}
