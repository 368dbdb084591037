import EnhancerCore
import Foundation
import Testing

@testable import DemoLogic

@MainActor
struct SelfTestModelTests {
    private func model(_ phone: DeskPhone, choices: Choices = .scratch()) -> SelfTestModel {
        let model = SelfTestModel(phone: phone, choices: choices, reports: phone.bundles)
        model.load()
        return model
    }

    @Test func onlyFilesOfThisPhoneAreListed() throws {
        let sections = model(try DeskPhone()).sections
        #expect(sections.map(\.role) == [.preview, .capture])
        for section in sections {
            #expect(section.rows.map(\.artifact.name) == ["first", "second"])
            #expect(section.rows.map(\.isPreferred) == [true, false])
        }
    }

    @Test func itRunsAndReports() async throws {
        let phone = try DeskPhone(roles: [.capture])
        phone.change { $0.thermal = .light }
        let model = model(phone)
        #expect(model.sections[0].problem == .noBundle(.preview))
        model.run()
        #expect(model.isRunning)
        await eventually("the end") { !model.isRunning }
        let section = model.sections[1]
        guard case .done(let first) = section.rows[0].status, case .done(let second) = section.rows[1].status else {
            Issue.record("\(section.rows)")
            return
        }
        #expect(first.golden?.within == true)
        #expect(first.golden?.bitEqual == true)
        #expect(first.latency?.runs == 20)
        #expect(first.thermalBefore == .light)
        #expect(second.golden == nil)
        #expect(second.whyNot["golden"] != nil, "no golden output, and no reason")
        let file = try #require(section.report)
        #expect(file.lastPathComponent == "device-report-capture.json")
        let report = try #require(JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        #expect(report["app"] as? String == "edgekit-ios-demo 0")
        #expect((report["artifacts"] as? [[String: Any]])?.compactMap { $0["name"] as? String } == ["first", "second"])
        for enhancer in phone.read({ $0.opened }) {
            let isClosed = await enhancer.isClosed
            #expect(isClosed)
        }
    }

    @Test func cancel() async throws {
        let phone = try DeskPhone(roles: [.preview])
        let gate = Gate()
        phone.change { $0.beforeRun = { if $0 == 3 { await gate.pass() } } }
        let model = model(phone)
        model.run()
        await eventually("two runs") { if case .running(2, 24) = model.sections[0].rows[0].status { true } else { false } }
        model.cancel()
        await gate.open()
        await eventually("the end") { !model.isRunning }
        #expect(model.sections[0].rows.map(\.status) == [.waiting, .waiting])
        #expect(model.sections[0].report == nil)
    }

    @Test func thePreferredFileIsUsed() throws {
        let phone = try DeskPhone()
        let choices = Choices.scratch()
        let model = model(phone, choices: choices)
        model.prefer(model.sections[1].rows[1].artifact, for: .capture)
        #expect(model.sections[1].rows.map(\.isPreferred) == [false, true])
        #expect(model.sections[0].rows.map(\.isPreferred) == [true, false])
        let bundle = try ModelBundle.of(.capture, in: phone.bundles)
        #expect(try choices.artifact(of: bundle, for: .capture, on: phone).name == "second")
    }

    @Test func aPreferredFileThatIsGoneIsForgotten() throws {
        let phone = try DeskPhone()
        let choices = Choices.scratch()
        let model = model(phone, choices: choices)
        model.prefer(model.sections[0].rows[1].artifact, for: .preview)
        try DeskBundle.write(to: phone.bundles.appendingPathComponent("preview")) { manifest in
            manifest["artifacts"] = (manifest["artifacts"] as? [[String: Any]])?.filter { $0["name"] as? String != "second" }
        }
        #expect(try choices.artifact(of: ModelBundle.of(.preview, in: phone.bundles), for: .preview, on: phone).name == "first")
    }

    @Test func aBundleForOtherPhones() throws {
        let phone = try DeskPhone()
        try DeskBundle.write(to: phone.bundles.appendingPathComponent("preview")) { manifest in
            manifest["artifacts"] = (manifest["artifacts"] as? [[String: Any]])?.filter { $0["backend"] as? String != "coreml" }
            manifest["golden"] = (manifest["golden"] as? [String: Any])?.merging(["artifacts": [Any]()]) { $1 }
        }
        guard case .brokenBundle(.preview, let line)? = model(phone).sections[0].problem else {
            Issue.record("accepted")
            return
        }
        #expect(line.contains("tflite"), "\(line)")
    }
}
