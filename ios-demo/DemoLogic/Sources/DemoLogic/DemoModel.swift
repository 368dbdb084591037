import EnhancerCore
import Foundation
import Observation

/// The app without its views: live preview, capture, enhancement with progress and cancel, comparison, saving.
///
/// Models never leave their own actors; this one only holds what the screens show.
@MainActor @Observable
public final class DemoModel {
    public static let goalFps = 30

    public private(set) var screen = Screen.live
    public private(set) var live = Live()

    public let phone: any Phone
    private let camera: any CameraSource
    private let choices: Choices
    @ObservationIgnored private var captureModel: OpenModel?
    @ObservationIgnored private var isInSight = false
    @ObservationIgnored private var isPreviewing = false
    @ObservationIgnored private var preview: Task<Void, Never>?
    @ObservationIgnored private var work: Task<Void, Never>?
    @ObservationIgnored private var comparisons = 0

    public init(phone: any Phone, camera: any CameraSource, choices: Choices = Choices()) {
        self.phone = phone
        self.camera = camera
        self.choices = choices
    }

    // MARK: the camera

    /// The app is in sight: while the live screen shows, the camera runs and, if there is a model for it, the live enhancement.
    public func appear() {
        isInSight = true
        startPreview()
    }

    /// The app is out of sight, or something else needs the phone.
    public func disappear() async {
        isInSight = false
        await stopPreview()
    }

    private func startPreview() {
        guard isInSight, !isPreviewing, screen == .live else { return }
        isPreviewing = true
        live = Live()
        let earlier = preview
        preview = Task {
            await earlier?.value
            await runPreview()
        }
    }

    private func stopPreview() async {
        isPreviewing = false
        preview?.cancel()
        await preview?.value
    }

    private func runPreview() async {
        let (frames, feed) = AsyncStream.makeStream(of: (any CameraFrame).self, bufferingPolicy: .bufferingNewest(1))
        do {
            try await camera.start { [weak self] event in
                switch event {
                case .frame(let frame): feed.yield(frame)
                case .interrupted: Task { await self?.interrupted(true) }
                case .resumed: Task { await self?.interrupted(false) }
                }
            }
        } catch {
            isPreviewing = false
            if !Task.isCancelled { screen = .problem(error as? Problem ?? .cameraFailed("\(error)")) }
            return
        }
        await withTaskCancellationHandler {
            if let model = await previewModel() {
                let loupe = Loupe(model: model)
                live.loupeSide = loupe.side
                await LivePreview(loupe, goalFps: Self.goalFps, phone: phone) { [weak self] in await self?.show($0) }.run(frames)
                await model.enhancer.close()
            } else {
                for await _ in frames {}
            }
        } onCancel: {
            feed.finish()
        }
        await camera.stop()
    }

    private func interrupted(_ isInterrupted: Bool) {
        live.isInterrupted = isInterrupted
    }

    private func previewModel() async -> OpenModel? {
        do {
            return try await OpenModel.open(.preview, on: phone, choices: choices)
        } catch {
            live.notice = Problem.model(error)
            return nil
        }
    }

    private func show(_ update: LivePreview.Update) {
        switch update {
        case .shown(let picture, let stats):
            live.loupe = picture
            live.stats = stats
            live.isPaused = false
        case .paused(let stats):
            live.stats = stats
            live.isPaused = true
        case .failed(let problem):
            live.loupe = nil
            live.notice = problem
        }
    }

    // MARK: a picture

    /// Takes a photograph and enhances it.
    public func capture() {
        let camera = camera
        begin { try await camera.capture() }
    }

    /// Enhances a picture of the user's; `load` gives its file, or nil if it cannot be had.
    public func choose(_ load: @escaping @Sendable () async throws -> Data?) {
        begin {
            guard let file = try? await load() else { throw Problem.unreadablePicture }
            return file
        }
    }

    /// Stops after the tile in the model, and goes back to the camera.
    public func cancel() {
        work?.cancel()
    }

    private func begin(_ take: @escaping @Sendable () async throws -> Data) {
        guard work == nil else { return }
        screen = .enhancing(Work())
        work = Task {
            do {
                let (before, after) = try await enhance(take)
                comparisons += 1
                screen = .comparing(Comparison(number: comparisons, before: before, after: after))
            } catch {
                if case .enhancing = screen { screen = Task.isCancelled || error is CancellationError ? .live : .problem(Problem.model(error)) }
            }
            work = nil
            startPreview()
        }
    }

    private func enhance(_ take: @Sendable () async throws -> Data) async throws -> (RgbPicture, RgbPicture) {
        let file = try await take()
        await stopPreview()  // the whole phone for one picture
        let model = try await openCaptureModel()
        let before = try await Self.decode(file, scale: model.image.scale, on: phone)
        try Task.checkCancellation()
        let after = try await model.pictures.enhance(before) { [weak self] done, total in
            Task { await self?.progress(done, total) }
        }
        return (before, after)
    }

    private nonisolated static func decode(_ file: Data, scale: Int, on phone: any Phone) async throws -> RgbPicture {
        let bound = MemoryBound(available: phone.availableMemory, scale: scale)
        return try phone.decode(file, longestSide: bound.longestSide(of: phone.size(of: file)))
    }

    private func openCaptureModel() async throws -> OpenModel {
        if let captureModel { return captureModel }
        let model = try await OpenModel.open(.capture, on: phone, choices: choices)
        captureModel = model
        return model
    }

    /// May come late or out of order.
    private func progress(_ done: Int, _ total: Int) {
        if case .enhancing(let work) = screen, done > work.done { screen = .enhancing(Work(done: done, total: total)) }
    }

    // MARK: the result

    /// Adds the result to the photo library.
    public func save() {
        guard case .comparing(var comparison) = screen, comparison.saving == .notSaved else { return }
        comparison.saving = .saving
        screen = .comparing(comparison)
        Task {
            do {
                try await phone.save(comparison.after)
                comparison.saving = .saved
            } catch {
                comparison.saving = .notSaved
                saveProblem = error as? Problem ?? .saveFailed("\(error)")
            }
            if case .comparing(let shown) = screen, shown.number == comparison.number { screen = .comparing(comparison) }
        }
    }

    /// Why the last save failed; the result stays in sight.
    public private(set) var saveProblem: Problem?

    public var isSaveProblemShown: Bool {
        get { saveProblem != nil }
        set { if !newValue { saveProblem = nil } }
    }

    /// Back to the camera, from a result or a problem.
    public func dismiss() {
        screen = .live
        startPreview()
    }

    // MARK: the system

    /// The system asks for memory: gives up what is under way, or the model that is kept for the next picture.
    public func memoryWarning() async {
        if case .enhancing = screen {
            screen = .problem(.lowMemory)
            cancel()
            await work?.value
        }
        await closeCaptureModel()
    }

    /// The user preferred another file, or the self-test needs the memory: the next picture opens it anew.
    public func closeCaptureModel() async {
        let model = captureModel
        captureModel = nil
        await model?.enhancer.close()
    }
}
