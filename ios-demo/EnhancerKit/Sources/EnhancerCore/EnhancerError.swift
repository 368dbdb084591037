import Foundation

/// What an app shows to its user or developer: one line that says what, got, expected.
public enum EnhancerError: Error, Equatable, Sendable {
    /// manifest.json cannot be used; the line names the key.
    case invalidManifest(String)
    /// A file of the bundle is missing, or is not the one that the manifest describes.
    case invalidFile(String)
    /// The runtime cannot open or run the model file, or what it gave is no picture.
    case modelFailed(String)
    /// A picture, frame or region does not fit what it is to be used for.
    case invalidPicture(String)

    public var line: String {
        switch self {
        case .invalidManifest(let line), .invalidFile(let line), .modelFailed(let line), .invalidPicture(let line): line
        }
    }
}

extension EnhancerError: LocalizedError {
    public var errorDescription: String? { line }
}
