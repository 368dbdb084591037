import EnhancerCore
import Foundation

/// What the app needs of the phone, apart from its camera. The app has one; the tests have another one that runs on a desk.
public protocol Phone: Probe {
    /// The folder that holds `preview` and `capture`.
    var bundles: URL { get }

    /// Bytes that can still be allocated.
    var availableMemory: Int { get }

    /// For the self-test's report.
    var device: Device { get }
    var app: String { get }

    /// Whether a runtime for it is linked in.
    func canRun(_ artifact: Artifact) -> Bool

    /// Opens a model file at its place in the bundle. Throws EnhancerError.
    func open(_ artifact: Artifact, at file: URL) async throws -> any Enhancer

    /// The upright sides of an encoded picture (JPEG, HEIF, PNG ...), without decoding it. Throws Problem.
    func size(of file: Data) throws -> PictureSize

    /// Decodes upright, scaled down if need be so that no side is longer than `longestSide`. Blocks. Throws Problem.
    func decode(_ file: Data, longestSide: Int) throws -> RgbPicture

    /// Adds the picture to the user's photo library. Throws Problem.
    func save(_ picture: RgbPicture) async throws
}

public struct PictureSize: Equatable, Sendable {
    public var height: Int
    public var width: Int

    public init(height: Int, width: Int) {
        self.height = height
        self.width = width
    }
}

/// The phone's camera.
public protocol CameraSource: Sendable {
    /// Reports to `receive` until `stop`. Asks for permission the first time. Throws Problem.
    func start(_ receive: @escaping @Sendable (CameraEvent) -> Void) async throws

    func stop() async

    /// A photograph as the camera encodes it. Throws Problem.
    func capture() async throws -> Data
}

public enum CameraEvent: Sendable {
    case frame(any CameraFrame)
    /// A call or another app took the camera; it may come back.
    case interrupted
    case resumed
}

/// An upright frame of the camera.
public protocol CameraFrame: Sendable {
    /// Calls `body` with the frame in place, readable during the call only, and with what converts it. Throws EnhancerError, and what `body` throws.
    func withFrame<R>(_ body: (Frame, FrameConverter) throws -> R) throws -> R
}
