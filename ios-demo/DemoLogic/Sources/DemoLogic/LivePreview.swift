import EnhancerCore

/// The live preview: the latest frames through the model, one at a time, slower as the phone heats up.
actor LivePreview {
    enum Update: Sendable {
        case shown(RgbPicture, FrameStats)
        /// Too hot: the last picture is old.
        case paused(FrameStats)
        case failed(Problem)
    }

    private let loupe: Loupe
    private let phone: any Phone
    private let show: @Sendable (Update) async -> Void
    private var scheduler: PreviewScheduler<any CameraFrame>
    private var thermal = ThermalState.none
    private var running: Task<Void, Never>?
    private var stopped = false

    init(_ loupe: Loupe, goalFps: Int, phone: any Phone, show: @escaping @Sendable (Update) async -> Void) {
        self.loupe = loupe
        self.phone = phone
        self.show = show
        scheduler = PreviewScheduler(goalFps: goalFps)
    }

    /// Takes frames until the stream ends, then waits for the frame in the model.
    func run(_ frames: AsyncStream<any CameraFrame>) async {
        for await frame in frames { await offer(frame) }
        stopped = true
        scheduler.clear()
        await running?.value
    }

    private func offer(_ frame: any CameraFrame) async {
        if stopped { return }
        let state = phone.thermal()
        if state != thermal {
            thermal = state
            scheduler.thermal(state)
        }
        if case .start(let frame) = scheduler.frame(frame, atMs: nowMs) {
            running = Task { await enhance(frame) }
        } else if scheduler.isPaused {
            await show(.paused(scheduler.stats(atMs: nowMs)))
        }
    }

    /// The frame and then, as long as one waits, the next.
    private func enhance(_ first: any CameraFrame) async {
        var frame = first
        while !stopped {
            do {
                let picture = try await loupe.enhance(frame)
                let decision = scheduler.done(atMs: nowMs)
                if !stopped { await show(.shown(picture, scheduler.stats(atMs: nowMs))) }
                guard case .start(let next) = decision else { return }
                frame = next
            } catch {
                stopped = true
                await show(.failed(Problem.model(error)))
            }
        }
    }

    private var nowMs: Int { Int(phone.nowNs() / 1_000_000) }
}
