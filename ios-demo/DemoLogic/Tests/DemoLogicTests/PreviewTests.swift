import EnhancerCore
import Foundation
import Testing

@testable import DemoLogic

@MainActor
struct PreviewTests {
    private func start(_ phone: DeskPhone, camera problem: Problem? = nil) -> (DemoModel, DeskCamera) {
        let camera = DeskCamera(photograph: RgbPicture(height: 10, width: 10), problem: problem)
        let model = DemoModel(phone: phone, camera: camera, choices: .scratch())
        model.appear()
        return (model, camera)
    }

    /// Frames until it holds.
    private func send(_ camera: DeskCamera, grey: UInt8 = 128, until what: String, _ holds: @MainActor () -> Bool) async {
        await eventually(what) {
            await camera.send(.frame(DeskFrame(grey: grey)))
            return holds()
        }
    }

    @Test func theCentreIsEnhanced() async throws {
        let (model, camera) = start(try DeskPhone())
        await send(camera, grey: 77, until: "a loupe") { model.live.loupe != nil }
        let side = DeskBundle.tile - 2 * DeskBundle.halo
        #expect(model.live.loupeSide == PictureSize(height: side, width: side))
        #expect(try model.live.loupe == RgbPicture(height: 2 * side, width: 2 * side, rgb: Array(repeating: 77, count: 12 * side * side)))
        #expect(model.live.notice == nil)
        #expect(model.live.stats.shown > 0)
        await model.disappear()
    }

    @Test func itStopsAndClosesItsModel() async throws {
        let phone = try DeskPhone()
        let (model, camera) = start(phone)
        await send(camera, until: "a loupe") { model.live.loupe != nil }
        await model.disappear()
        let isRunning = await camera.isRunning
        let isClosed = await phone.read { $0.opened[0] }.isClosed
        #expect(!isRunning)
        #expect(isClosed)
    }

    @Test func comingAndGoingQuickly() async throws {
        let (model, camera) = start(try DeskPhone())
        for _ in 0..<5 {
            Task { await model.disappear() }
            await Task.yield()
            model.appear()
        }
        await send(camera, until: "a loupe after all that") { model.live.loupe != nil }
        let isRunning = await camera.isRunning
        #expect(isRunning)
        await model.disappear()
    }

    @Test func withoutAPreviewModelTheCameraRuns() async throws {
        let (model, camera) = start(try DeskPhone(roles: [.capture]))
        await eventually("the notice") { model.live.notice == .noBundle(.preview) }
        #expect(model.screen == .live)
        let isRunning = await camera.isRunning
        #expect(isRunning)
        model.capture()
        await eventually("a result") { if case .comparing = model.screen { true } else { false } }
    }

    @Test func brokenManifest() async throws {
        let phone = try DeskPhone()
        try DeskBundle.write(to: phone.bundles.appendingPathComponent("preview")) { $0["manifest"] = 2 }
        let (model, _) = start(phone)
        await eventually("the notice") { if case .brokenBundle(.preview, _)? = model.live.notice { true } else { false } }
        guard case .brokenBundle(_, let line)? = model.live.notice else { return }
        #expect(line.contains("manifest"), "\(line)")
        await model.disappear()
    }

    @Test func bundleWithVariants() async throws {
        let phone = try DeskPhone()
        try DeskBundle.write(to: phone.bundles.appendingPathComponent("preview")) { manifest in
            var artifacts = (manifest["artifacts"] as? [[String: Any]] ?? []).filter { $0["backend"] as? String == "coreml" }
            for (index, name) in ["heavy", "light"].enumerated() { artifacts[index]["variant"] = name }
            manifest["artifacts"] = artifacts
            let variants = [["name": "light"], ["name": "heavy"]]
            manifest["routing"] = ["score": "laplacian-energy", "unit": "tile", "thresholds": [500], "variants": variants]
        }
        let (model, _) = start(phone)
        await eventually("the notice") { if case .brokenBundle(.preview, _)? = model.live.notice { true } else { false } }
        guard case .brokenBundle(_, let line)? = model.live.notice else { return }
        #expect(line == "its files are variants, chosen tile by tile; expected one network: this app opens one file")
        await model.disappear()
    }

    @Test func hotPhonePausesAndCoolsDown() async throws {
        let phone = try DeskPhone()
        let (model, camera) = start(phone)
        await send(camera, until: "a loupe") { model.live.loupe != nil }
        phone.change { $0.thermal = .critical }
        await send(camera, until: "the pause") { model.live.isPaused }
        let shown = model.live.stats.shown
        let dropped = model.live.stats.dropped
        await send(camera, until: "dropped frames") { model.live.stats.dropped > dropped + 3 }
        #expect(model.live.stats.shown <= shown + 1, "frames were shown while it rested")
        phone.change { $0.thermal = .none }
        await send(camera, until: "the end of the pause") { !model.live.isPaused }
        await model.disappear()
    }

    @Test func onlyTheLatestFrameWaits() async throws {
        let phone = try DeskPhone()
        let gate = Gate()
        phone.change { $0.beforeRun = { if $0 == 1 { await gate.pass() } } }
        let (model, camera) = start(phone)
        await eventually("the camera") { await camera.isRunning }
        await send(camera, grey: 1, until: "a run") { phone.read { $0.opened.count } == 1 }
        await eventually("the first frame in the model") {
            await camera.send(.frame(DeskFrame(grey: 1)))
            return await phone.read { $0.opened[0] }.runs == 1
        }
        for grey in UInt8(2)...200 {
            await camera.send(.frame(DeskFrame(grey: grey)))
            await Task.yield()
        }
        try await Task.sleep(for: .milliseconds(50))  // until the last one waits
        await gate.open()
        await eventually("two frames shown") { model.live.stats.shown == 2 }
        #expect(model.live.loupe?.rgb.first == 200)
        #expect(model.live.stats.dropped > 0)
        await model.disappear()
    }

    @Test func aFailingModelIsNotAskedAgain() async throws {
        let phone = try DeskPhone()
        phone.change { $0.beforeRun = { _ in throw EnhancerError.modelFailed("it failed") } }
        let (model, camera) = start(phone)
        await send(camera, until: "the notice") { model.live.notice == .modelFailed("it failed") }
        for _ in 0..<20 { await camera.send(.frame(DeskFrame())) }
        let runs = await phone.read { $0.opened[0] }.runs
        #expect(runs == 1)
        #expect(model.screen == .live)
        await model.disappear()
    }

    @Test func eachCameraProblemHasItsScreen() async throws {
        for problem in [Problem.cameraDenied, .noCamera, .cameraBusy, .cameraFailed("why")] {
            let (model, _) = start(try DeskPhone(), camera: problem)
            await eventually("\(problem)") { model.screen == .problem(problem) }
            model.dismiss()
            await eventually("\(problem) again") { model.screen == .problem(problem) }
        }
    }

    @Test func aCallTakesTheCameraForAWhile() async throws {
        let (model, camera) = start(try DeskPhone())
        await eventually("the camera") { await camera.isRunning }
        await camera.send(.interrupted)
        await eventually("the interruption") { model.live.isInterrupted }
        await camera.send(.resumed)
        await eventually("its end") { !model.live.isInterrupted }
        await model.disappear()
    }
}
