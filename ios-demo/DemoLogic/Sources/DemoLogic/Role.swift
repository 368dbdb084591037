import EnhancerCore
import Foundation

/// What a bundle is for; its folder in the app's `Bundles`.
public enum Role: String, CaseIterable, Sendable {
    /// The camera's centre, live: a small network.
    case preview
    /// A photograph, when the user asks for it.
    case capture
}

extension ModelBundle {
    /// The bundle of a role in the app's `Bundles`. Throws Problem.
    static func of(_ role: Role, in bundles: URL) throws -> ModelBundle {
        let folder = bundles.appendingPathComponent(role.rawValue)
        guard FileManager.default.fileExists(atPath: folder.path) else { throw Problem.noBundle(role) }
        do {
            return try ModelBundle(folder: folder)
        } catch let error as EnhancerError {
            throw Problem.brokenBundle(role, line: error.line)
        }
    }
}
