import EnhancerCore
import Foundation

/// Compiled copies of model packages: compiling takes seconds, so it is done once for each content. The system may empty the folder at any time.
struct CompiledModels: Sendable {
    let folder: URL
    /// Makes a compiled copy at a place of its own choice.
    let compile: @Sendable (_ package: URL) async throws -> URL

    /// Gives `open` the compiled copy of the package whose digest is `sha256`. A kept one that does not open (an earlier system compiled it, say) is compiled
    /// anew; an EnhancerError of `open` is final.
    func open(_ package: URL, sha256: String, _ open: @Sendable (_ compiled: URL) async throws -> Void) async throws {
        let place = folder.appendingPathComponent("\(sha256).mlmodelc", isDirectory: true)
        if FileManager.default.fileExists(atPath: place.path) {
            do {
                return try await open(place)
            } catch let error as EnhancerError {
                throw error
            } catch {
                try? FileManager.default.removeItem(at: place)
            }
        }
        try await keep(compile(package), at: place)
        try await open(place)
    }

    private func keep(_ made: URL, at place: URL) throws {
        let files = FileManager.default
        defer { try? files.removeItem(at: made) }
        try files.createDirectory(at: folder, withIntermediateDirectories: true)
        do {
            try files.moveItem(at: made, to: place)
        } catch {
            guard files.fileExists(atPath: place.path) else { throw error }  // else another task was faster
        }
    }
}
