import XCTest

@testable import CoreMLEnhancer

final class ComputeUnitsTests: XCTestCase {
    /// The manifest's delegates: `DELEGATES` in targets/edgekit_targets/coreml/__init__.py; tests/apps/test_ios_app.py compares the two.
    func testEveryDelegateOfTheManifest() {
        XCTAssertEqual(ComputeUnits.allCases.map(\.rawValue), ["ane+gpu+cpu", "ane+cpu", "gpu+cpu", "cpu"])
        XCTAssertNil(ComputeUnits(rawValue: "npu"))
    }
}
