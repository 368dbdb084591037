import Foundation

/// A bundle as `edgekit bundle --into` copied it: a folder with manifest.json, model files and the golden pair.
public struct ModelBundle: Sendable {
    public static let manifestName = "manifest.json"

    public let folder: URL
    public let manifest: Manifest

    /// Reads the manifest, and nothing else. Throws `EnhancerError.invalidManifest`, and `.invalidFile` if there is none.
    public init(folder: URL) throws {
        guard let json = try? Data(contentsOf: folder.appendingPathComponent(Self.manifestName)) else {
            throw EnhancerError.invalidFile("\(folder.lastPathComponent): holds no \(Self.manifestName); expected a bundle: copy one with `edgekit bundle`")
        }
        self.folder = folder
        manifest = try Manifest.parse(json)
    }

    /// Where a model file (of Core ML: a folder) lies.
    public func url(of artifact: Artifact) -> URL {
        folder.appendingPathComponent(artifact.file)
    }

    /// Compares a model file's size and digest with the manifest's. Throws `EnhancerError.invalidFile`.
    public func verify(_ artifact: Artifact) throws {
        try Self.require(FileDigest(of: url(of: artifact)), artifact.bytes, artifact.sha256, artifact.file)
    }

    /// The bytes of a golden tensor, checked. Throws `EnhancerError.invalidFile`.
    public func read(_ tensor: GoldenTensor) throws -> [UInt8] {
        let url = folder.appendingPathComponent(tensor.file)
        try Self.require(FileDigest(of: url), tensor.bytes, tensor.sha256, tensor.file)
        guard let data = try? Data(contentsOf: url) else { throw EnhancerError.invalidFile("\(tensor.file): cannot be read; expected a whole bundle") }
        return [UInt8](data)
    }

    static func require(_ found: FileDigest, _ bytes: Int, _ sha256: String, _ name: String) throws {
        guard found.bytes == bytes else {
            throw EnhancerError.invalidFile("\(name): has \(found.bytes) bytes, the manifest says \(bytes); expected an unaltered bundle")
        }
        guard found.sha256 == sha256 else {
            throw EnhancerError.invalidFile(
                "\(name): has sha256 \(found.sha256.prefix(12)), the manifest says \(sha256.prefix(12)); expected an unaltered bundle"
            )
        }
    }
}
