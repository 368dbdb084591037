import XCTest

@testable import EnhancerCore

actor Copies: Enhancer {
    nonisolated let runtime = "copy"
    nonisolated let threads: Int? = 1
    var runs = 0
    func run(_ input: Tensor, into output: inout Tensor) throws {
        runs += 1
        output.withUnsafeMutableBytes { out in input.withUnsafeBytes { out.copyMemory(from: $0) } }
    }
    func close() {}
}

final class EnhancerTests: XCTestCase {
    func testActor() async throws {
        let enhancer: any Enhancer = Copies()
        let spec = TensorSpec(name: "", shape: [1, 3, 2, 2], layout: .nchw, dtype: .uint8)
        let input = try Tensor(spec, bytes: Array(0..<12))
        var output = Tensor(spec)
        let before = output.withUnsafeBytes { $0.baseAddress! }
        try await enhancer.run(input, into: &output)
        XCTAssertEqual(output.bytes, input.bytes)
        XCTAssertEqual(before, output.withUnsafeBytes { $0.baseAddress! })
    }
}
