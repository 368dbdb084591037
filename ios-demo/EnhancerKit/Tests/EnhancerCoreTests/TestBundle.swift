import Foundation
import XCTest

@testable import EnhancerCore

/// A bundle of the cross network: the golden manifest `small.json` with a tile of 16, and files that agree with it.
struct TestBundle {
    let folder: URL

    init(_ test: XCTestCase, change: (inout [String: Any]) -> Void = { _ in }) async throws {
        folder = try Fixtures.scratch(test)
        var random = Seeded(seed: 4)
        let artifact = CrossNetwork.artifact(tile: [16, 16])
        var input = Tensor(artifact.input)
        input.withUnsafeMutableBytes { raw in
            for i in 0..<raw.count / 4 { raw.storeBytes(of: Float(Int.random(in: 0...255, using: &random)) / 255, toByteOffset: 4 * i, as: Float.self) }
        }
        var output = Tensor(artifact.output)
        try await CrossNetwork().run(input, into: &output)

        var manifest = try XCTUnwrap(JSONSerialization.jsonObject(with: Fixtures.data("manifests/small.json")) as? [String: Any])
        manifest.update("image") { $0.merge(["tile": [16, 16], "halo": 2]) { $1 } }
        try manifest.updateFirst("artifacts") { try $0.describe(file: add("cross.bin", Array("network".utf8)), artifact: artifact) }
        try manifest.update("golden") { golden in
            try golden.updateFirst("inputs") { try $0.merge(add("golden/input.bin", input.bytes)) { $1 } }
            golden.updateFirst("inputs") { $0["shape"] = artifact.input.shape }
            try golden.updateFirst("artifacts") { entry in
                entry["artifact"] = artifact.name
                try entry.updateFirst("outputs") { try $0.merge(add("golden/output.bin", output.bytes)) { $1 } }
                entry.updateFirst("outputs") { $0["shape"] = artifact.output.shape }
            }
        }
        change(&manifest)
        try JSONSerialization.data(withJSONObject: manifest).write(to: folder.appendingPathComponent(ModelBundle.manifestName))
    }

    /// Writes a file; what the manifest says about it.
    private func add(_ path: String, _ bytes: [UInt8]) throws -> [String: Any] {
        let file = folder.appendingPathComponent(path)
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
        return ["file": path, "bytes": bytes.count, "sha256": try FileDigest(of: file).sha256]
    }
}

extension [String: Any] {
    mutating func update(_ key: String, _ change: (inout [String: Any]) throws -> Void) rethrows {
        var value = self[key] as? [String: Any] ?? [:]
        try change(&value)
        self[key] = value
    }

    mutating func updateFirst(_ key: String, _ change: (inout [String: Any]) throws -> Void) rethrows {
        var values = self[key] as? [[String: Any]] ?? [[:]]
        try change(&values[0])
        self[key] = values
    }

    fileprivate mutating func describe(file: [String: Any], artifact: Artifact) {
        merge(file) { $1 }
        self["name"] = artifact.name
        updateFirst("inputs") { $0["shape"] = artifact.input.shape }
        updateFirst("outputs") { $0["shape"] = artifact.output.shape }
    }
}
