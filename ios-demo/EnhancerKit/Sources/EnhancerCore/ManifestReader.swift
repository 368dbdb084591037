import Foundation

extension Manifest {
    /// Bytes. A real one has some ten thousand.
    static let largest = 16 << 20

    /// Keys of what surrounds the files in other bundles, and why there must be none here.
    private static let beyond = [
        ("sampler", "the files are one step of a model, not all of it"),
        ("apply", "the files give numbers, not a picture"),
        ("before", "the app does no classical steps before the network"),
        ("after", "the app does no classical steps after the network"),
    ]

    /// Reads and checks the bytes of a manifest.json. Throws `EnhancerError.invalidManifest`: one line with the key's path, what it is and what was expected.
    public static func parse(_ data: Data) throws -> Manifest {
        let name = ModelBundle.manifestName
        guard data.count <= largest else { throw EnhancerError.invalidManifest("\(name): has more than \(largest) bytes; expected a manifest") }
        let top = JsonField(name, try JsonParser.parse(data, name: name))
        let version = try top.key("manifest")
        guard try version.whole(atLeast: 1) == 1 else { throw version.refusal(expected: "1: this bundle is newer than the app, update the app") }
        for (key, why) in beyond { try top.key(key).none(why) }
        let image = try ImageContract(top.key("image"))
        let artifacts = try self.artifacts(top.key("artifacts"), image)
        return Manifest(
            created: try top.key("created").text(),
            model: try Model(top.key("model")),
            image: image,
            artifacts: artifacts,
            golden: try Golden(top.key("golden"), of: artifacts),
            routing: try Routing.read(top, image, artifacts)
        )
    }

    private static func artifacts(_ field: JsonField, _ image: ImageContract) throws -> [Artifact] {
        var names: Set<String> = []
        return try field.list(1...Int.max).map { field in
            let artifact = try Artifact(field, image)
            guard names.insert(artifact.name).inserted else { throw try field.key("name").refusal(expected: "each name once") }
            return artifact
        }
    }
}

extension Model {
    fileprivate init(_ field: JsonField) throws {
        name = try field.key("name").name()
        licence = try field.key("licence").text()
        scale = try field.key("scale").whole(atLeast: 1)
    }
}

extension ImageContract {
    private enum EdgeRule: String, CaseIterable { case reflect }

    /// Far beyond what a phone can run; below them no product of sides overflows.
    private static let largestSide = 1 << 14
    private static let largestScale = 1 << 6

    fileprivate init(_ field: JsonField) throws {
        input = try ImageSpec(field.key("inputs").list(1...1)[0])
        output = try ImageSpec(field.key("outputs").list(1...1)[0])
        scale = try field.key("scale").whole(atLeast: 1, atMost: Self.largestScale)
        tiling = try field.key("tiling").word()
        let sides = try field.key("tile").list(2...2)
        tileHeight = try sides[0].whole(atLeast: 1, atMost: Self.largestSide)
        tileWidth = try sides[1].whole(atLeast: 1, atMost: Self.largestSide)
        let halo = try field.key("halo")
        self.halo = try halo.whole(atLeast: 0)
        multipleOf = try field.key("multiple_of").whole(atLeast: 1)
        _ = try field.key("edge_rule").word(EdgeRule.self)
        guard 2 * self.halo < min(tileHeight, tileWidth) else { throw halo.refusal(expected: "less than half of tile \(tileHeight)x\(tileWidth)") }
        for side in [halo, sides[0], sides[1]] where try side.whole(atLeast: 0) % multipleOf != 0 {
            throw side.refusal(expected: "a multiple of multiple_of, \(multipleOf)")
        }
    }
}

extension ImageSpec {
    fileprivate init(_ field: JsonField) throws {
        name = try field.key("name").name()
        channels = try field.key("channels").whole(atLeast: 1, atMost: 64)
        colour = try field.key("colour").word()
        mean = try Self.perChannel(field.key("mean"), channels)
        std = try Self.perChannel(field.key("std"), channels)
        range = try ValueRange(field.key("range"))
        guard !std.contains(0) else { throw try field.key("std").refusal(expected: "no 0 in it: values are divided by it") }
    }

    private static func perChannel(_ field: JsonField, _ channels: Int) throws -> [Float] {
        let values = try field.list(1...Int.max)
        guard values.count == 1 || values.count == channels else { throw field.refusal(expected: "1 value, or \(channels): one a channel") }
        return try values.map { Float(try $0.number()) }
    }
}

extension ValueRange {
    fileprivate init(_ field: JsonField) throws {
        let ends = try field.list(2...2)
        lowest = try ends[0].number()
        highest = try ends[1].number()
    }
}

extension Artifact {
    fileprivate init(_ field: JsonField, _ image: ImageContract) throws {
        name = try field.key("name").name()
        file = try field.key("file").plainPath()
        backend = try field.key("backend").name()
        delegate = try field.key("delegate").text()
        precision = try field.key("precision").text()
        bytes = try field.key("bytes").whole(atLeast: 1)
        sha256 = try field.key("sha256").sha256()
        input = try TensorSpec(field.key("inputs").list(1...1)[0], image.input, image.tileHeight, image.tileWidth)
        output = try TensorSpec(field.key("outputs").list(1...1)[0], image.output, image.tileHeight * image.scale, image.tileWidth * image.scale)
        recipe = try field.key("recipe").name()
        let variant = try field.key("variant")
        self.variant = variant.isAbsent ? nil : try variant.name()
    }
}

extension TensorSpec {
    fileprivate init(_ field: JsonField, _ image: ImageSpec, _ height: Int, _ width: Int) throws {
        name = try field.key("name").text()
        layout = try field.key("layout").word()
        dtype = try field.key("dtype").word()
        range = try ValueRange(field.key("range"))
        let shape = try field.key("shape")
        self.shape = try shape.sides()
        let expected = layout == .nchw ? [1, image.channels, height, width] : [1, height, width, image.channels]
        guard self.shape == expected else {
            throw EnhancerError.invalidManifest(
                "\(shape.document): \(shape.path) is \(self.shape) in \(layout.rawValue); expected \(expected), which fits tile, scale and channels"
            )
        }
    }
}

extension Golden {
    fileprivate init(_ field: JsonField, of artifacts: [Artifact]) throws {
        input = try GoldenTensor(field.key("inputs").list(1...1)[0])
        outputs = try field.key("artifacts").list().map { field in
            let artifact = try field.key("artifact")
            guard try artifacts.contains(where: { $0.name == (try artifact.text()) }) else {
                throw artifact.refusal(expected: "one of \(artifacts.map(\.name).joined(separator: ", "))")
            }
            let maxAbs = try field.key("max_abs")
            guard try maxAbs.number() >= 0 else { throw maxAbs.refusal(expected: "a number of at least 0") }
            return GoldenOutput(
                artifact: try artifact.text(),
                output: try GoldenTensor(field.key("outputs").list(1...1)[0]),
                maxAbs: try maxAbs.number(),
                minPsnrDb: try field.key("min_psnr_db").number()
            )
        }
    }
}

extension GoldenTensor {
    fileprivate init(_ field: JsonField) throws {
        file = try field.key("file").plainPath()
        shape = try field.key("shape").sides()
        layout = try field.key("layout").word()
        dtype = try field.key("dtype").word()
        sha256 = try field.key("sha256").sha256()
        let bytes = try field.key("bytes")
        self.bytes = try bytes.whole(atLeast: 1)
        let needed = shape.reduce((size: dtype.bytes, overflow: false)) { so, side in
            let (size, overflow) = so.size.multipliedReportingOverflow(by: side)
            return (size, so.overflow || overflow)
        }
        guard !needed.overflow, needed.size == self.bytes else {
            throw bytes.refusal(expected: "what \(dtype.rawValue) of shape \(shape) takes")
        }
    }
}

extension JsonField {
    fileprivate func sides() throws -> [Int] {
        try list(1...Int.max).map { try $0.whole(atLeast: 1) }
    }
}
