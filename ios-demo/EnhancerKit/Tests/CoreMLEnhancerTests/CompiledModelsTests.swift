import Foundation
import XCTest

@testable import CoreMLEnhancer

/// With real folders; only Core ML's compiler is replaced, by a copy of the package.
final class CompiledModelsTests: XCTestCase {
    private let files = FileManager.default
    private let place = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    private let sha256 = String(repeating: "a", count: 64)

    override func tearDown() {
        try? files.removeItem(at: place)
    }

    private actor Compiler {
        private(set) var calls = 0

        func compile(_ package: URL, into place: URL) throws -> URL {
            calls += 1
            let copy = place.appendingPathComponent("made-\(calls)")
            try FileManager.default.copyItem(at: package, to: copy)
            return copy
        }
    }

    private func makePackage(_ text: String) throws -> URL {
        let package = place.appendingPathComponent("model.mlpackage")
        try? files.removeItem(at: package)
        try files.createDirectory(at: package, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: package.appendingPathComponent("weights"))
        return package
    }

    private func models(_ compiler: Compiler) -> CompiledModels {
        CompiledModels(folder: place.appendingPathComponent("cache")) { [place] in try await compiler.compile($0, into: place) }
    }

    func testCompilesOnce() async throws {
        let compiler = Compiler()
        let package = try makePackage("one")
        let first = try await models(compiler).copy(of: package, sha256: sha256)
        let second = try await models(compiler).copy(of: package, sha256: sha256)
        XCTAssertEqual(first, second)
        XCTAssertEqual(try String(contentsOf: first.appendingPathComponent("weights"), encoding: .utf8), "one")
        let calls = await compiler.calls
        XCTAssertEqual(calls, 1)
        XCTAssertFalse(files.fileExists(atPath: place.appendingPathComponent("made-1").path), "the temporary copy stays behind")
    }

    func testOtherContentIsAnotherCopy() async throws {
        let compiler = Compiler()
        let one = try await models(compiler).copy(of: makePackage("one"), sha256: sha256)
        let two = try await models(compiler).copy(of: makePackage("two"), sha256: String(repeating: "b", count: 64))
        XCTAssertNotEqual(one, two)
        XCTAssertEqual(try String(contentsOf: two.appendingPathComponent("weights"), encoding: .utf8), "two")
    }

    func testAnewReplacesTheCopy() async throws {
        let compiler = Compiler()
        _ = try await models(compiler).copy(of: makePackage("old"), sha256: sha256)
        let anew = try await models(compiler).copy(of: makePackage("new"), sha256: sha256, anew: true)
        XCTAssertEqual(try String(contentsOf: anew.appendingPathComponent("weights"), encoding: .utf8), "new")
    }

    func testAFailedCompilationLeavesNothing() async throws {
        struct Failed: Error {}
        let models = CompiledModels(folder: place.appendingPathComponent("cache")) { _ in throw Failed() }
        do {
            _ = try await models.copy(of: makePackage("one"), sha256: sha256)
            XCTFail("it should fail")
        } catch is Failed {}
        XCTAssertFalse(files.fileExists(atPath: place.appendingPathComponent("cache").path))
    }

    func testTwoAtOnce() async throws {
        let compiler = Compiler()
        let package = try makePackage("one")
        let models = models(compiler)
        let copies = try await withThrowingTaskGroup(of: URL.self) { [sha256] group in
            for _ in 0..<8 { group.addTask { try await models.copy(of: package, sha256: sha256) } }
            return try await group.reduce(into: Set<URL>()) { $0.insert($1) }
        }
        XCTAssertEqual(copies.count, 1)
        XCTAssertEqual(try String(contentsOf: copies.first!.appendingPathComponent("weights"), encoding: .utf8), "one")
        let left = try files.contentsOfDirectory(atPath: place.path).filter { $0.hasPrefix("made-") }
        XCTAssertEqual(left, [])
    }
}
