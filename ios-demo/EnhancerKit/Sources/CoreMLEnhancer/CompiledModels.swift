import Foundation

/// Compiled copies of model packages: compiling takes seconds, so it is done once for each content. The system may empty the folder at any time.
struct CompiledModels: Sendable {
    let folder: URL
    /// Makes a compiled copy at a place of its own choice.
    let compile: @Sendable (_ package: URL) async throws -> URL

    /// The compiled copy of the package whose digest is `sha256`; compiled now if there is none, or if it is not to be trusted any more (`anew`).
    func copy(of package: URL, sha256: String, anew: Bool = false) async throws -> URL {
        let files = FileManager.default
        let place = folder.appendingPathComponent("\(sha256).mlmodelc", isDirectory: true)
        if anew { try? files.removeItem(at: place) }
        if files.fileExists(atPath: place.path) { return place }
        let made = try await compile(package)
        defer { try? files.removeItem(at: made) }
        try files.createDirectory(at: folder, withIntermediateDirectories: true)
        do {
            try files.moveItem(at: made, to: place)
        } catch where files.fileExists(atPath: place.path) {
            // another task was faster
        }
        return place
    }
}
