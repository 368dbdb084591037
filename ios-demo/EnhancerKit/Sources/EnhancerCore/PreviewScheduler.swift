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

    private var state = ThermalState.none
    private var isBusy = false
    private var waiting: Frame?
    private var lastStart: Int?
    /// When results were shown, in the last second.
    private var shownAt: [Int] = []
    private var shown = 0
    private var dropped = 0

    /// `goalFps` is at least 1.
    public init(goalFps: Int) {
        precondition(goalFps >= 1, "goal of \(goalFps) frames a second; expected at least 1")
        self.goalFps = goalFps
    }

    /// A frame arrived: start, wait or skip.
    public mutating func frame(_ frame: Frame, atMs now: Int) -> Decision {
        let isTooSoon = isTooSoon(now)
        if isPaused || (isTooSoon && !isBusy && waiting == nil) {
            dropped += 1
            return .skip
        }
        clear()
        guard isBusy || isTooSoon else { return start(frame, now) }
        waiting = frame
        return .wait
    }

    /// The frame in the model is ready and shown: start or idle.
    public mutating func done(atMs now: Int) -> Decision {
        shown += 1
        shownAt.removeAll { $0 <= now - 1000 }
        shownAt.append(now)
        return failed(atMs: now)
    }

    /// The model failed on its frame or was stopped, nothing was shown: as `done`, but not counted.
    public mutating func failed(atMs now: Int) -> Decision {
        isBusy = false
        return tick(atMs: now)
    }

    /// Time passed (a display's refresh, a timer): start or idle.
    public mutating func tick(atMs now: Int) -> Decision {
        guard let frame = waiting, !isBusy, !isTooSoon(now) else { return .idle }
        return start(frame, now)
    }

    /// The phone's thermal state changed.
    public mutating func thermal(_ state: ThermalState) {
        self.state = state
        if isPaused { clear() }
    }

    /// The preview stops: a waiting frame is dropped.
    public mutating func clear() {
        guard waiting != nil else { return }
        waiting = nil
        dropped += 1
    }

    /// Whether the thermal state has paused the preview.
    public var isPaused: Bool { slower == nil }

    public func stats(atMs now: Int) -> FrameStats {
        FrameStats(fps: shownAt.count { $0 > now - 1000 }, shown: shown, dropped: dropped)
    }

    /// The rate allowed is the goal divided by this; nil: the preview is paused.
    private var slower: Int? {
        switch state {
        case .none, .light: 1
        case .moderate: 2
        case .severe: 6
        case .critical, .emergency, .shutdown: nil
        }
    }

    /// A quarter of the interval is slack, so that a camera's jitter at just the goal's rate drops nothing.
    private func isTooSoon(_ now: Int) -> Bool {
        guard let lastStart, let slower else { return false }
        let interval = (1000 * slower + goalFps - 1) / goalFps
        return now - lastStart < interval - interval / 4
    }

    private mutating func start(_ frame: Frame, _ now: Int) -> Decision {
        isBusy = true
        waiting = nil
        lastStart = now
        return .start(frame)
    }
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
