import EnhancerCore

/// What keeps the app from going on. Each has a screen with one line, and what the user can do about it.
public enum Problem: Error, Equatable, Sendable {
    case cameraDenied
    case noCamera
    /// Another app or a call has it.
    case cameraBusy
    case cameraFailed(String)
    case noBundle(Role)
    case brokenBundle(Role, line: String)
    case modelFailed(String)
    case lowMemory
    case unreadablePicture
    case photosDenied
    case saveFailed(String)

    public enum Remedy: Equatable, Sendable {
        case openSettings
        case choosePicture
        case tryAgain
    }

    /// In the order in which they are offered.
    public var remedies: [Remedy] {
        switch self {
        case .cameraDenied: [.openSettings, .choosePicture]
        case .noCamera: [.choosePicture]
        case .cameraBusy, .cameraFailed: [.tryAgain, .choosePicture]
        case .noBundle, .brokenBundle, .modelFailed: [.tryAgain]
        case .lowMemory, .unreadablePicture: [.tryAgain, .choosePicture]
        case .photosDenied: [.openSettings, .tryAgain]
        case .saveFailed: [.tryAgain]
        }
    }

    /// Of any error that opening or running a model may throw.
    static func model(_ error: any Error) -> Problem {
        error as? Problem ?? .modelFailed((error as? EnhancerError)?.line ?? "\(error)")
    }
}
