import EnhancerCore
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

    /// Where `open` found a copy, and what it read there.
    private actor Opened {
        var places: [URL] = []
        var texts: [String] = []
        var failures: [any Error] = []

        init(failing failures: [any Error] = []) {
            self.failures = failures
        }

        func open(_ place: URL) throws {
            places.append(place)
            texts.append(try String(contentsOf: place.appendingPathComponent("weights"), encoding: .utf8))
            if !failures.isEmpty { throw failures.removeFirst() }
        }
    }

    private struct Stale: Error {}

    func testCompilesOnce() async throws {
        let (compiler, opened) = (Compiler(), Opened())
        let package = try makePackage("one")
        for _ in 1...2 { try await models(compiler).open(package, sha256: sha256) { try await opened.open($0) } }
        let (places, texts, calls) = await (opened.places, opened.texts, compiler.calls)
        XCTAssertEqual(Set(places).count, 1)
        XCTAssertEqual(texts, ["one", "one"])
        XCTAssertEqual(calls, 1)
        XCTAssertFalse(files.fileExists(atPath: place.appendingPathComponent("made-1").path), "the temporary copy stays behind")
    }

    func testOtherContentIsAnotherCopy() async throws {
        let (compiler, opened) = (Compiler(), Opened())
        try await models(compiler).open(makePackage("one"), sha256: sha256) { try await opened.open($0) }
        try await models(compiler).open(makePackage("two"), sha256: String(repeating: "b", count: 64)) { try await opened.open($0) }
        let (places, texts) = await (opened.places, opened.texts)
        XCTAssertEqual(Set(places).count, 2)
        XCTAssertEqual(texts, ["one", "two"])
    }

    func testAKeptCopyThatDoesNotOpenIsCompiledAnew() async throws {
        let compiler = Compiler()
        try await models(compiler).open(makePackage("old"), sha256: sha256) { _ in }
        let opened = Opened(failing: [Stale()])
        try await models(compiler).open(makePackage("new"), sha256: sha256) { try await opened.open($0) }
        let texts = await opened.texts
        XCTAssertEqual(texts, ["old", "new"])
    }

    func testAFreshCopyThatDoesNotOpenIsFinal() async throws {
        let (compiler, opened) = (Compiler(), Opened(failing: [Stale()]))
        do {
            try await models(compiler).open(makePackage("one"), sha256: sha256) { try await opened.open($0) }
            XCTFail("it should fail")
        } catch is Stale {}
        let calls = await compiler.calls
        XCTAssertEqual(calls, 1)
    }

    /// The file is not what the manifest says: compiling again cannot help.
    func testAnEnhancerErrorIsFinal() async throws {
        let compiler = Compiler()
        try await models(compiler).open(makePackage("one"), sha256: sha256) { _ in }
        do {
            try await models(compiler).open(makePackage("one"), sha256: sha256) { _ in throw EnhancerError.invalidManifest("why") }
            XCTFail("it should fail")
        } catch let error as EnhancerError {
            XCTAssertEqual(error, .invalidManifest("why"))
        }
        let calls = await compiler.calls
        XCTAssertEqual(calls, 1)
    }

    func testAFailedCompilationLeavesNothing() async throws {
        let models = CompiledModels(folder: place.appendingPathComponent("cache")) { _ in throw Stale() }
        do {
            try await models.open(makePackage("one"), sha256: sha256) { _ in }
            XCTFail("it should fail")
        } catch is Stale {}
        XCTAssertFalse(files.fileExists(atPath: place.appendingPathComponent("cache").path))
    }

    func testSeveralAtOnce() async throws {
        let (compiler, opened) = (Compiler(), Opened())
        let package = try makePackage("one")
        let models = models(compiler)
        try await withThrowingTaskGroup(of: Void.self) { [sha256] group in
            for _ in 0..<8 { group.addTask { try await models.open(package, sha256: sha256) { try await opened.open($0) } } }
            try await group.waitForAll()
        }
        let (places, texts) = await (opened.places, opened.texts)
        XCTAssertEqual(Set(places).count, 1)
        XCTAssertEqual(texts, Array(repeating: "one", count: 8))
        let left = try files.contentsOfDirectory(atPath: place.path).filter { $0.hasPrefix("made-") }
        XCTAssertEqual(left, [])
    }
}
