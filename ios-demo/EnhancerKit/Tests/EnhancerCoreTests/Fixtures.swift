import Foundation
import XCTest

/// The golden vectors that Python, Kotlin and Swift share: tests/fixtures of the repository, or the folder that EDGEKIT_FIXTURES names.
enum Fixtures {
    static let folder: URL = {
        if let path = ProcessInfo.processInfo.environment["EDGEKIT_FIXTURES"] { return URL(fileURLWithPath: path) }
        var folder = URL(fileURLWithPath: #filePath)
        for _ in 0..<5 { folder.deleteLastPathComponent() }
        return folder.appendingPathComponent("tests/fixtures")
    }()

    static func data(_ name: String) throws -> Data {
        try Data(contentsOf: folder.appendingPathComponent(name))
    }

    /// Keys in snake_case, bytes in base64.
    static func read<Value: Decodable>(_ name: String, as: Value.Type = Value.self) throws -> Value {
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        return try decoder.decode(Value.self, from: data(name))
    }

    /// A folder of this test's own, removed at its end.
    static func scratch(_ test: XCTestCase) throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("edgekit-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        test.addTeardownBlock { try? FileManager.default.removeItem(at: folder) }
        return folder
    }
}

extension Data {
    var bytes: [UInt8] { [UInt8](self) }
}
