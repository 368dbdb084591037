import XCTest

@testable import EnhancerCore

final class ModelBundleTests: XCTestCase {
    func testWhole() async throws {
        let bundle = try ModelBundle(folder: await TestBundle(self).folder)
        let artifact = try XCTUnwrap(bundle.manifest.artifacts.first)
        XCTAssertNoThrow(try bundle.verify(artifact))
        XCTAssertEqual(try bundle.read(bundle.manifest.golden.input).count, artifact.input.bytes)
    }

    func testMissingManifest() throws {
        let folder = try Fixtures.scratch(self)
        XCTAssertThrowsError(try ModelBundle(folder: folder)) { XCTAssert("\($0)".contains("holds no manifest.json"), "\($0)") }
    }

    func testAlteredFiles() async throws {
        let folder = try await TestBundle(self).folder
        let bundle = try ModelBundle(folder: folder)
        let artifact = try XCTUnwrap(bundle.manifest.artifacts.first)
        try Data("netwerk".utf8).write(to: bundle.url(of: artifact))
        XCTAssertThrowsError(try bundle.verify(artifact)) { XCTAssert("\($0)".contains("cross.bin: has sha256"), "\($0)") }
        try Data("longer than it was".utf8).write(to: bundle.url(of: artifact))
        XCTAssertThrowsError(try bundle.verify(artifact)) { XCTAssert("\($0)".contains("cross.bin: has 18 bytes, the manifest says 7"), "\($0)") }
        try FileManager.default.removeItem(at: bundle.url(of: artifact))
        XCTAssertThrowsError(try bundle.verify(artifact)) { XCTAssert("\($0)".contains("cross.bin: is missing"), "\($0)") }
        let golden = bundle.manifest.golden.input
        var bytes = try bundle.read(golden)
        bytes[100] ^= 1
        try Data(bytes).write(to: folder.appendingPathComponent(golden.file))
        XCTAssertThrowsError(try bundle.read(golden)) { XCTAssert("\($0)".contains("input.bin: has sha256"), "\($0)") }
    }
}
