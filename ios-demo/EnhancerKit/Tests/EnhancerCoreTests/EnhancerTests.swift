import XCTest

@testable import EnhancerCore

final class EnhancerTests: XCTestCase {
    /// An actor writes into its caller's memory: no tile is copied.
    func testOutputIsWrittenInPlace() async throws {
        let artifact = CrossNetwork.artifact(tile: [2, 2])
        let enhancer: any Enhancer = CrossNetwork()
        var output = Tensor(artifact.output)
        let before = output.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        try await enhancer.run(Tensor(artifact.input), into: &output)
        let after = output.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) }
        XCTAssertEqual(before, after)
    }

    func testTensorHasTheSpecsBytes() throws {
        let spec = TensorSpec(name: "t", shape: [1, 3, 2, 2], layout: .nchw, dtype: .float16)
        XCTAssertEqual(Tensor(spec).bytes.count, 24)
        XCTAssertEqual(try Tensor(spec, bytes: Array(0..<24)).bytes, Array(0..<24))
        XCTAssertThrowsError(try Tensor(spec, bytes: [1])) { XCTAssertEqual($0.localizedDescription, "tensor 't' has 1 bytes; expected 24") }
    }
}
