import Foundation

/// A bundle as `edgekit bundle --into` copied it: a folder with manifest.json, model files and the golden pair.
public struct ModelBundle: Sendable {
    public static let manifestName = "manifest.json"

    public let folder: URL
    public let manifest: Manifest

    /// Reads the manifest, and nothing else. Throws `EnhancerError.invalidManifest`, and `.invalidFile` if there is none.
    public init(folder: URL) throws { fatalError("to be filled in") }

    /// Where a model file (of Core ML: a folder) lies.
    public func url(of artifact: Artifact) -> URL { fatalError("to be filled in") }

    /// Compares a model file's size and digest with the manifest's; returns the digest. Throws `EnhancerError.invalidFile`.
    @discardableResult
    public func verify(_ artifact: Artifact) throws -> String { fatalError("to be filled in") }

    /// The bytes of a golden tensor, checked. Throws `EnhancerError.invalidFile`.
    public func read(_ tensor: GoldenTensor) throws -> [UInt8] { fatalError("to be filled in") }
}
