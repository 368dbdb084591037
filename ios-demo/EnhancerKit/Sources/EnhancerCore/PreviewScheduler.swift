/// Android's thermal states; Apple's four are none (nominal), light (fair), severe (serious) and critical.
public enum ThermalState: String, CaseIterable, Codable, Sendable {
    case none, light, moderate, severe, critical, emergency, shutdown
}

/// The live preview keeps the latest frame: one in the model, at most one waiting. `Frame` is the app's frame; those not used are simply let go.
///
/// Times are milliseconds of a clock of the caller's that never goes back. One owner: an actor or the main actor.
public struct PreviewScheduler<Frame> {
    /// What to do after an event.
    public enum Decision {
        /// Give this frame to the model now.
        case start(Frame)
        /// The frame waits for the model.
        case wait
        /// The frame is not used.
        case skip
        /// The model has nothing to do.
        case idle
    }

    public let goalFps: Int

    public init(goalFps: Int) { fatalError("to be filled in") }

    /// A frame arrived: start, wait or skip.
    public mutating func frame(_ frame: Frame, atMs now: Int) -> Decision { fatalError("to be filled in") }

    /// The frame in the model is ready and shown: start or idle.
    public mutating func done(atMs now: Int) -> Decision { fatalError("to be filled in") }

    /// The model failed on its frame or was stopped, nothing was shown: as `done`, but not counted.
    public mutating func failed(atMs now: Int) -> Decision { fatalError("to be filled in") }

    /// Time passed (a display's refresh, a timer): start or idle.
    public mutating func tick(atMs now: Int) -> Decision { fatalError("to be filled in") }

    /// The phone's thermal state changed.
    public mutating func thermal(_ state: ThermalState, atMs now: Int) { fatalError("to be filled in") }

    /// The preview stops: a waiting frame is dropped.
    public mutating func clear() { fatalError("to be filled in") }

    /// Whether the thermal state has paused the preview.
    public var isPaused: Bool { fatalError("to be filled in") }

    public func stats(atMs now: Int) -> FrameStats { fatalError("to be filled in") }
}

extension PreviewScheduler: Sendable where Frame: Sendable {}
extension PreviewScheduler.Decision: Sendable where Frame: Sendable {}
extension PreviewScheduler.Decision: Equatable where Frame: Equatable {}

/// `fps`: results shown in the last 1000 ms; `shown` and `dropped`: frames so far.
public struct FrameStats: Equatable, Sendable {
    public var fps: Int
    public var shown: Int
    public var dropped: Int

    public init(fps: Int = 0, shown: Int = 0, dropped: Int = 0) {
        self.fps = fps
        self.shown = shown
        self.dropped = dropped
    }
}
