import EnhancerCore
import Foundation

/// A bundle of the network `Doubling`: two artifacts for this phone, one for another.
enum DeskBundle {
    static let tile = 16
    static let halo = 2

    static func write(to folder: URL, change: (inout [String: Any]) -> Void = { _ in }) throws {
        try FileManager.default.createDirectory(at: folder.appendingPathComponent("golden"), withIntermediateDirectories: true)
        let input = (0..<3 * tile * tile).map { Float($0 % 256) / 255 }
        var output = [Float](repeating: 0, count: 4 * input.count)
        for index in output.indices {
            let (row, column) = (index / (2 * tile), index % (2 * tile))
            output[index] = input[row / 2 * tile + column / 2]
        }
        let inputFile = try add("golden/input.bin", input.withUnsafeBytes { Data($0) }, to: folder)
        let outputFile = try add("golden/output.bin", output.withUnsafeBytes { Data($0) }, to: folder)
        let modelFile = try add("model.bin", Data("network".utf8), to: folder)
        var manifest: [String: Any] = [
            "manifest": 1,
            "created": "2026-11-21T10:30:00Z",
            "model": ["name": "doubling", "licence": "Apache-2.0", "scale": 2],
            "image": [
                "inputs": [picture("in")], "outputs": [picture("out")], "scale": 2, "tiling": "exact", "tile": [tile, tile], "halo": halo, "multiple_of": 1,
                "edge_rule": "reflect",
            ],
            "artifacts": [
                artifact("elsewhere", "tflite", modelFile), artifact("first", "coreml", modelFile), artifact("second", "coreml", modelFile),
            ],
            "golden": [
                "inputs": [tensor("in", tile).merging(inputFile) { $1 }],
                "artifacts": [
                    ["artifact": "first", "outputs": [tensor("out", 2 * tile).merging(outputFile) { $1 }], "max_abs": 0.001, "min_psnr_db": 60]
                ],
            ],
        ]
        change(&manifest)
        try JSONSerialization.data(withJSONObject: manifest).write(to: folder.appendingPathComponent("manifest.json"))
    }

    private static func picture(_ name: String) -> [String: Any] {
        ["name": name, "channels": 3, "colour": "rgb", "mean": [0], "std": [1], "range": [0, 1]]
    }

    private static func tensor(_ name: String, _ side: Int) -> [String: Any] {
        ["name": name, "shape": [1, 3, side, side], "layout": "NCHW", "dtype": "float32", "range": [0, 1]]
    }

    private static func artifact(_ name: String, _ backend: String, _ file: [String: Any]) -> [String: Any] {
        let rest: [String: Any] = [
            "name": name, "backend": backend, "delegate": "cpu", "recipe": "fp32", "precision": "fp32", "inputs": [tensor("in", tile)],
            "outputs": [tensor("out", 2 * tile)],
        ]
        return rest.merging(file) { $1 }
    }

    private static func add(_ path: String, _ bytes: Data, to folder: URL) throws -> [String: Any] {
        let file = folder.appendingPathComponent(path)
        try bytes.write(to: file)
        return ["file": path, "bytes": bytes.count, "sha256": try FileDigest(of: file).sha256]
    }
}
