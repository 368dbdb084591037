@testable import EnhancerCore

/// The network of tests/fixtures/README.md, stitched.json: float32, NCHW, scale 2, zeros outside the tile.
actor CrossNetwork: Enhancer {
    nonisolated let runtime = "cross network"
    nonisolated let threads: Int? = 1
    private(set) var runs = 0
    private(set) var isClosed = false
    /// Where the tensors of each run lay.
    private(set) var places: Set<[UInt]> = []
    /// Instead of the first value of the run of this number (from 1 on).
    private let broken: (run: Int, value: Float)?
    private let failing: Int?
    private let beforeRun: @Sendable (Int) -> Void

    init(broken: (run: Int, value: Float)? = nil, failing: Int? = nil, beforeRun: @escaping @Sendable (Int) -> Void = { _ in }) {
        self.broken = broken
        self.failing = failing
        self.beforeRun = beforeRun
    }

    func run(_ input: Tensor, into output: inout Tensor) throws {
        runs += 1
        beforeRun(runs)
        if runs == failing { throw EnhancerError.modelFailed("the network failed as it was told to") }
        let (height, width) = (input.spec.shape[2], input.spec.shape[3])
        let broken = broken?.run == runs ? broken : nil
        output.withUnsafeMutableBytes { to in
            input.withUnsafeBytes { from in
                places.insert([UInt(bitPattern: from.baseAddress), UInt(bitPattern: to.baseAddress)])
                let source = from.assumingMemoryBound(to: Float.self)
                let target = to.assumingMemoryBound(to: Float.self)
                for channel in 0..<3 {
                    for r in 0..<height {
                        for c in 0..<width {
                            let at = (channel * height + r) * width + c
                            let north = r > 0 ? source[at - width] : 0
                            let south = r < height - 1 ? source[at + width] : 0
                            let west = c > 0 ? source[at - 1] : 0
                            let east = c < width - 1 ? source[at + 1] : 0
                            let b = (((north + south) + west) + east) * 0.125 + source[at] * 0.5
                            let out = (channel * 2 * height + 2 * r) * 2 * width + 2 * c
                            target[out] = b
                            target[out + 1] = source[at]
                            target[out + 2 * width] = source[at]
                            target[out + 2 * width + 1] = b
                        }
                    }
                }
                if let broken { target[0] = broken.value }
            }
        }
    }

    func close() {
        isClosed = true
    }

    static func artifact(tile: [Int]) -> Artifact {
        Artifact(
            name: "cross", file: "cross.bin", backend: "coreml", delegate: "", precision: "fp32", bytes: 1, sha256: "",
            input: TensorSpec(name: "in", shape: [1, 3] + tile, layout: .nchw, dtype: .float32),
            output: TensorSpec(name: "out", shape: [1, 3] + tile.map { 2 * $0 }, layout: .nchw, dtype: .float32))
    }

    static func image(tile: [Int], halo: Int, tiling: Tiling = .exact) -> ImageContract {
        ImageContract(
            input: ImageSpec(name: "in"), output: ImageSpec(name: "out"), scale: 2, tiling: tiling, tileHeight: tile[0], tileWidth: tile[1], halo: halo,
            multipleOf: 1)
    }
}
