import EnhancerCore
import Foundation
import Testing

@testable import DemoLogic

@MainActor
struct CaptureTests {
    private func model(
        _ phone: DeskPhone, camera problem: Problem? = nil, photograph: RgbPicture = RgbPicture(height: 30, width: 20)
    ) -> (DemoModel, DeskCamera) {
        let camera = DeskCamera(photograph: photograph, problem: problem)
        return (DemoModel(phone: phone, camera: camera, choices: .scratch()), camera)
    }

    private func comparison(_ model: DemoModel) async -> Comparison? {
        await eventually("a result") { if case .comparing = model.screen { true } else { false } }
        if case .comparing(let comparison) = model.screen { return comparison } else { return nil }
    }

    @Test func aPhotographIsEnhanced() async throws {
        let photograph = try RgbPicture.random(height: 30, width: 41)
        let (model, camera) = model(try DeskPhone(), photograph: photograph)
        model.appear()
        await eventually("the camera") { await camera.isRunning }
        model.capture()
        #expect(model.screen == .enhancing(Work()))
        let found = await comparison(model)
        #expect(found?.before == photograph)
        #expect(try found?.after == photograph.doubled())
        let isRunning = await camera.isRunning
        #expect(!isRunning, "the camera runs behind the result")
        model.dismiss()
        #expect(model.screen == .live)
        await eventually("the camera again") { await camera.isRunning }
        await model.disappear()
    }

    @Test func aChosenPictureNeedsNoCamera() async throws {
        let picture = try RgbPicture.random(height: 9, width: 50)
        let (model, _) = model(try DeskPhone(), camera: .cameraDenied)
        model.appear()
        await eventually("the problem") { model.screen == .problem(.cameraDenied) }
        model.choose { DeskPhone.file(of: picture) }
        let after = await comparison(model)?.after
        #expect(try after == picture.doubled())
    }

    @Test func theModelIsOpenedOnceForSeveralPictures() async throws {
        let phone = try DeskPhone()
        let (model, _) = model(phone)
        for number in 1...2 {
            model.choose { DeskPhone.file(of: RgbPicture(height: 20, width: 20)) }
            let found = await comparison(model)?.number
            #expect(found == number)
            model.dismiss()
        }
        #expect(phone.read { $0.opened.count } == 1)
    }

    @Test func progressAndCancel() async throws {
        let phone = try DeskPhone()
        let gate = Gate()
        phone.change { $0.beforeRun = { if $0 == 4 { await gate.pass() } } }
        let (model, camera) = model(phone, photograph: RgbPicture(height: 30, width: 20))
        model.appear()
        await eventually("the camera") { await camera.isRunning }
        model.capture()
        await eventually("three of six tiles") { model.screen == .enhancing(Work(done: 3, total: 6)) }
        model.cancel()
        await gate.open()
        await eventually("the camera's screen") { model.screen == .live }
        await eventually("the camera again") { await camera.isRunning }
        let runs = await phone.read { $0.opened[0] }.runs
        #expect(runs <= 4, "it went on after cancel")
        await model.disappear()
    }

    @Test func secondPressWhileWorkingDoesNothing() async throws {
        let phone = try DeskPhone()
        let gate = Gate()
        phone.change { $0.beforeRun = { _ in await gate.pass() } }
        let (model, _) = model(phone)
        model.choose { DeskPhone.file(of: RgbPicture(height: 10, width: 10)) }
        model.choose { throw Problem.unreadablePicture }
        await gate.open()
        let found = await comparison(model)
        #expect(found?.before == RgbPicture(height: 10, width: 10))
    }

    @Test func missingBundle() async throws {
        let (model, _) = model(try DeskPhone(roles: [.preview]))
        model.choose { DeskPhone.file(of: RgbPicture(height: 10, width: 10)) }
        await eventually("the problem") { model.screen == .problem(.noBundle(.capture)) }
    }

    @Test func alteredModelFile() async throws {
        let phone = try DeskPhone()
        try Data("altered".utf8).write(to: phone.bundles.appendingPathComponent("capture/model.bin"))
        let (model, _) = model(phone)
        model.choose { DeskPhone.file(of: RgbPicture(height: 10, width: 10)) }
        await eventually("the problem") { if case .problem(.brokenBundle(.capture, _)) = model.screen { true } else { false } }
        guard case .problem(.brokenBundle(_, let line)) = model.screen else { return }
        #expect(line.contains("model.bin"), "\(line)")
        #expect(!line.contains("\n"), "\(line)")
        #expect(phone.read { $0.opened.count } == 0, "a file that is not the manifest's was opened")
    }

    @Test func modelThatFails() async throws {
        let phone = try DeskPhone()
        phone.change { $0.beforeRun = { _ in throw EnhancerError.modelFailed("it failed") } }
        let (model, _) = model(phone)
        model.choose { DeskPhone.file(of: RgbPicture(height: 10, width: 10)) }
        await eventually("the problem") { model.screen == .problem(.modelFailed("it failed")) }
    }

    @Test func unreadablePictures() async throws {
        let (model, _) = model(try DeskPhone())
        struct Gone: Error {}
        for load: @Sendable () async throws -> Data? in [{ nil }, { throw Gone() }, { Data() }] {
            model.choose(load)
            await eventually("the problem") { model.screen == .problem(.unreadablePicture) }
            model.dismiss()
        }
    }

    @Test func largePicturesAreScaledDownToTheMemory() async throws {
        let phone = try DeskPhone()
        phone.change { $0.availableMemory = 1 }
        let (model, _) = model(phone)
        model.choose { DeskPhone.file(of: RgbPicture(height: 200, width: 200)) }
        await eventually("the problem") { model.screen == .problem(.lowMemory) }
    }

    @Test func memoryWarningEndsTheWork() async throws {
        let phone = try DeskPhone()
        let gate = Gate()
        phone.change { $0.beforeRun = { _ in await gate.pass() } }
        let (model, _) = model(phone)
        model.choose { DeskPhone.file(of: RgbPicture(height: 30, width: 30)) }
        await eventually("a run") { await phone.read { $0.opened.first }?.runs == 1 }
        async let warned: Void = model.memoryWarning()
        await eventually("the problem") { model.screen == .problem(.lowMemory) }
        await gate.open()
        await warned
        #expect(model.screen == .problem(.lowMemory))
        let isClosed = await phone.read { $0.opened[0] }.isClosed
        #expect(isClosed)
    }

    @Test func memoryWarningAtRestClosesTheModel() async throws {
        let phone = try DeskPhone()
        let (model, _) = model(phone)
        model.choose { DeskPhone.file(of: RgbPicture(height: 10, width: 10)) }
        let found = await comparison(model)
        await model.memoryWarning()
        #expect(model.screen == found.map { .comparing($0) }, "the result was thrown away")
        let isClosed = await phone.read { $0.opened[0] }.isClosed
        #expect(isClosed)
    }

    @Test func saving() async throws {
        let phone = try DeskPhone()
        let (model, _) = model(phone)
        phone.change { $0.saveProblem = .photosDenied }
        model.choose { DeskPhone.file(of: RgbPicture(height: 10, width: 10)) }
        guard let found = await comparison(model) else { return }
        model.save()
        await eventually("the refusal") { model.saveProblem == .photosDenied }
        #expect(model.isSaveProblemShown)
        await eventually("not saved") { model.screen == .comparing(found) }
        phone.change { $0.saveProblem = nil }
        model.isSaveProblemShown = false
        #expect(model.saveProblem == nil)
        model.save()
        await eventually("saved") { if case .comparing(let shown) = model.screen { shown.saving == .saved } else { false } }
        model.save()
        #expect(phone.read { $0.saved } == [found.after], "saved twice, or something else")
    }
}
