/// Between contiguous numbers and an array that a runtime lays out as it likes (rows padded for its accelerator, say).
struct StridedCopy: Equatable {
    let shape: [Int]
    /// In elements, of the runtime's array.
    let strides: [Int]
    let elementBytes: Int

    /// `strides` as many as `shape`, none negative.
    init(shape: [Int], strides: [Int], elementBytes: Int) {
        precondition(shape.count == strides.count && strides.allSatisfy { $0 >= 0 }, "strides \(strides) do not fit shape \(shape)")
        self.shape = shape
        self.strides = strides
        self.elementBytes = elementBytes
    }

    /// Bytes that the runtime's array must have, from its first element to the end of its last.
    var stridedBytes: Int {
        shape.contains(0) ? 0 : (zip(shape, strides).reduce(0) { $0 + ($1.0 - 1) * $1.1 } + 1) * elementBytes
    }

    func scatter(_ contiguous: UnsafeRawBufferPointer, into strided: UnsafeMutableRawBufferPointer) {
        forEachRun { from, to, bytes in
            copy(contiguous[from..<from + bytes], to: strided[to..<to + bytes])
        }
    }

    func gather(_ strided: UnsafeRawBufferPointer, into contiguous: UnsafeMutableRawBufferPointer) {
        forEachRun { to, from, bytes in
            copy(strided[from..<from + bytes], to: contiguous[to..<to + bytes])
        }
    }

    private func copy(_ from: Slice<UnsafeRawBufferPointer>, to: Slice<UnsafeMutableRawBufferPointer>) {
        UnsafeMutableRawBufferPointer(rebasing: to).copyMemory(from: UnsafeRawBufferPointer(rebasing: from))
    }

    /// Calls `body` with the byte offsets of each run that lies contiguously on both sides: contiguous offset, strided offset, bytes.
    private func forEachRun(_ body: (Int, Int, Int) -> Void) {
        var inner = shape.count  // dimensions from `inner` on lie together in the runtime's array
        var run = 1
        while inner > 0, shape[inner - 1] == 1 || strides[inner - 1] == run {
            inner -= 1
            run *= shape[inner]
        }
        let outer = shape[..<inner]
        let runs = outer.reduce(1, *)
        guard run > 0, runs > 0 else { return }
        var position = [Int](repeating: 0, count: inner)
        for index in 0..<runs {
            let offset = zip(position, strides).reduce(0) { $0 + $1.0 * $1.1 }
            body(index * run * elementBytes, offset * elementBytes, run * elementBytes)
            for dimension in position.indices.reversed() {
                position[dimension] += 1
                if position[dimension] < shape[dimension] { break }
                position[dimension] = 0
            }
        }
    }
}
