import EnhancerCore
import Foundation
import Observation

/// The self-test's screen: runs every model file of a bundle on its golden pair and on the clock, and writes the report.
@MainActor @Observable
public final class SelfTestModel {
    public enum Status: Equatable, Sendable {
        case waiting
        case running(done: Int, total: Int)
        case done(ArtifactReport)
    }

    public struct Row: Equatable, Identifiable, Sendable {
        public let artifact: Artifact
        public var status: Status
        public var isPreferred: Bool

        public var id: String { artifact.name }
    }

    public struct Section: Equatable, Identifiable, Sendable {
        public let role: Role
        public var rows: [Row] = []
        public var problem: Problem?
        /// The report's file, when there is one.
        public var report: URL?

        public var id: Role { role }
    }

    public private(set) var sections: [Section] = []
    public private(set) var isRunning = false

    private let phone: any Phone
    private let choices: Choices
    private let reports: URL
    @ObservationIgnored private var test: Task<Void, Never>?

    /// `reports`: the folder that device-report-ROLE.json is written to.
    public init(phone: any Phone, choices: Choices = Choices(), reports: URL = FileManager.default.temporaryDirectory) {
        self.phone = phone
        self.choices = choices
        self.reports = reports
    }

    /// Reads the bundles' manifests.
    public func load() {
        sections = Role.allCases.map(section)
    }

    private func section(_ role: Role) -> Section {
        do {
            let bundle = try ModelBundle.of(role, in: phone.bundles)
            let preferred = try choices.artifact(of: bundle, for: role, on: phone)
            let usable = bundle.manifest.artifacts.filter(phone.canRun)
            return Section(role: role, rows: usable.map { Row(artifact: $0, status: .waiting, isPreferred: $0 == preferred) })
        } catch {
            return Section(role: role, problem: Problem.model(error))
        }
    }

    /// The app uses this file for its role from now on.
    public func prefer(_ artifact: Artifact, for role: Role) {
        choices.prefer(artifact, for: role)
        for index in sections.indices where sections[index].role == role {
            for row in sections[index].rows.indices { sections[index].rows[row].isPreferred = sections[index].rows[row].artifact == artifact }
        }
    }

    /// Tests everything, one model file after the other.
    public func run() {
        guard test == nil else { return }
        isRunning = true
        load()
        test = Task {
            for index in sections.indices where sections[index].problem == nil {
                do {
                    try await run(index)
                } catch is CancellationError {
                    forgetRunning(index)
                    break
                } catch {
                    sections[index].problem = Problem.model(error)
                }
            }
            isRunning = false
            test = nil
        }
    }

    /// Stops after the run in the model.
    public func cancel() {
        test?.cancel()
    }

    private func run(_ index: Int) async throws {
        let role = sections[index].role
        let bundle = try ModelBundle.of(role, in: phone.bundles)
        let selfTest = SelfTest(bundle: bundle, probe: phone)
        var results: [ArtifactReport] = []
        for row in sections[index].rows.indices {
            let artifact = sections[index].rows[row].artifact
            sections[index].rows[row].status = .running(done: 0, total: 0)
            let phone = phone
            let result = try await selfTest.run(
                artifact, runtime: artifact.backend,
                progress: { [weak self] done, total in Task { await self?.progress(index, row, done, total) } },
                open: { @Sendable in try await phone.open($0, at: $1) })
            sections[index].rows[row].status = .done(result)
            results.append(result)
        }
        let report = DeviceReport(app: phone.app, created: Date(), manifest: bundle.manifest, device: phone.device, artifacts: results)
        let file = reports.appendingPathComponent("device-report-\(role.rawValue).json")
        try report.json().write(to: file, options: .atomic)
        sections[index].report = file
    }

    private func forgetRunning(_ section: Int) {
        for row in sections[section].rows.indices {
            if case .running = sections[section].rows[row].status { sections[section].rows[row].status = .waiting }
        }
    }

    /// May come late or out of order.
    private func progress(_ section: Int, _ row: Int, _ done: Int, _ total: Int) {
        if case .running(let before, _) = sections[section].rows[row].status, done > before {
            sections[section].rows[row].status = .running(done: done, total: total)
        }
    }
}
