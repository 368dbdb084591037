import EnhancerCore
import Foundation
import Testing

@testable import DemoLogic

/// A network that doubles each side: every pixel becomes four equal ones. Float32, NCHW.
actor Doubling: Enhancer {
    nonisolated let runtime = "doubling"
    nonisolated let threads: Int? = 1
    private(set) var runs = 0
    private(set) var isClosed = false
    private let beforeRun: @Sendable (Int) async throws -> Void

    /// `beforeRun` is given the run's number, from 1 on.
    init(beforeRun: @escaping @Sendable (Int) async throws -> Void = { _ in }) {
        self.beforeRun = beforeRun
    }

    func run(_ input: Tensor, into output: inout Tensor) async throws {
        runs += 1
        try await beforeRun(runs)
        let width = 2 * input.spec.shape[3]
        let numbers = input.spec.bytes / 4
        input.withUnsafeBytes { from in
            output.withUnsafeMutableBytes { to in
                for index in 0..<4 * numbers {
                    let (row, column) = (index / width, index % width)
                    let number = from.load(fromByteOffset: 4 * (row / 2 * (width / 2) + column / 2), as: Float.self)
                    to.storeBytes(of: number, toByteOffset: 4 * index, as: Float.self)
                }
            }
        }
    }

    func close() {
        isClosed = true
    }
}

/// A phone on a desk: bundles in a folder of the test's own, the network above, and pictures in a format of its own.
final class DeskPhone: Phone, @unchecked Sendable {
    let bundles: URL
    let device = Device(manufacturer: "Edgekit", model: "Desk", system: "none", processor: "", memoryMb: 1000)
    let app = "edgekit-ios-demo 0"
    private let lock = NSLock()
    private var state = State()

    struct State {
        var availableMemory = 1_000_000_000
        var thermal = ThermalState.none
        var saveProblem: Problem?
        var beforeRun: @Sendable (Int) async throws -> Void = { _ in }
        var opened: [Doubling] = []
        var saved: [RgbPicture] = []
    }

    init(roles: [Role] = Role.allCases) throws {
        bundles = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: bundles, withIntermediateDirectories: true)
        for role in roles { try DeskBundle.write(to: bundles.appendingPathComponent(role.rawValue)) }
    }

    deinit {
        try? FileManager.default.removeItem(at: bundles)
    }

    func change(_ act: (inout State) -> Void) { lock.withLock { act(&state) } }

    func read<R>(_ act: (State) -> R) -> R { lock.withLock { act(state) } }

    var availableMemory: Int { read { $0.availableMemory } }

    func canRun(_ artifact: Artifact) -> Bool { artifact.backend == "coreml" }

    func open(_ artifact: Artifact, at file: URL) async throws -> any Enhancer {
        let enhancer = Doubling(beforeRun: read { $0.beforeRun })
        change { $0.opened.append(enhancer) }
        return enhancer
    }

    /// The two sides, then the pixels.
    static func file(of picture: RgbPicture) -> Data { Data([UInt8(picture.height), UInt8(picture.width)] + picture.rgb) }

    func size(of file: Data) throws -> PictureSize {
        guard file.count > 2 else { throw Problem.unreadablePicture }
        return PictureSize(height: Int(file[0]), width: Int(file[1]))
    }

    func decode(_ file: Data, longestSide: Int) throws -> RgbPicture {
        let size = try size(of: file)
        guard max(size.height, size.width) <= longestSide else { return RgbPicture(height: longestSide, width: longestSide) }
        return try RgbPicture(height: size.height, width: size.width, rgb: Array(file.dropFirst(2)))
    }

    func save(_ picture: RgbPicture) async throws {
        if let problem = read({ $0.saveProblem }) { throw problem }
        change { $0.saved.append(picture) }
    }

    func nowNs() -> UInt64 { DispatchTime.now().uptimeNanoseconds }

    func peakMemoryMb() -> Double? { nil }

    func thermal() -> ThermalState { read { $0.thermal } }
}

/// A camera that gives what the test says.
actor DeskCamera: CameraSource {
    private(set) var isRunning = false
    private(set) var starts = 0
    private var receive: (@Sendable (CameraEvent) -> Void)?
    private let problem: Problem?
    private let photograph: Data

    init(photograph: RgbPicture, problem: Problem? = nil) {
        self.photograph = DeskPhone.file(of: photograph)
        self.problem = problem
    }

    func start(_ receive: @escaping @Sendable (CameraEvent) -> Void) throws {
        if let problem { throw problem }
        self.receive = receive
        isRunning = true
        starts += 1
    }

    func stop() {
        isRunning = false
        receive = nil
    }

    func capture() throws -> Data {
        guard isRunning else { throw Problem.cameraBusy }
        return photograph
    }

    func send(_ event: CameraEvent) {
        receive?(event)
    }
}

/// A frame in BGRA, all of one grey.
struct DeskFrame: CameraFrame {
    var height = 40
    var width = 60
    var grey: UInt8 = 128

    func withFrame<R>(_ body: (Frame, FrameConverter) throws -> R) throws -> R {
        let bytes = [UInt8](repeating: grey, count: 4 * width * height)
        return try bytes.withUnsafeBytes { data in
            let plane = Plane(data: data, rowStride: 4 * width, pixelStride: 4)
            return try body(Frame(height: height, width: width, format: .bgra, planes: [plane]), FrameConverter())
        }
    }
}

/// Holds runs of the network until the test lets them go.
actor Gate {
    private var isOpen = false
    private var waiting: [CheckedContinuation<Void, Never>] = []

    func pass() async {
        if !isOpen { await withCheckedContinuation { waiting.append($0) } }
    }

    func open() {
        isOpen = true
        for one in waiting { one.resume() }
        waiting = []
    }
}

extension RgbPicture {
    static func random(height: Int, width: Int) throws -> RgbPicture {
        try RgbPicture(height: height, width: width, rgb: (0..<3 * height * width).map { _ in .random(in: 0...255) })
    }

    /// What `Doubling` makes of it.
    func doubled() throws -> RgbPicture {
        var result: [UInt8] = []
        for y in 0..<2 * height {
            for x in 0..<2 * width {
                let at = 3 * (y / 2 * width + x / 2)
                result += rgb[at..<at + 3]
            }
        }
        return try RgbPicture(height: 2 * height, width: 2 * width, rgb: result)
    }
}

extension Choices {
    /// A store of the test's own.
    static func scratch() -> Choices { Choices(UserDefaults(suiteName: "edgekit-\(UUID().uuidString)")!) }
}

/// Waits until it holds; fails after twenty seconds.
@MainActor func eventually(_ what: String, at place: SourceLocation = #_sourceLocation, _ holds: @MainActor () async -> Bool) async {
    for _ in 0..<4000 {
        if await holds() { return }
        try? await Task.sleep(for: .milliseconds(5))
    }
    Issue.record("never: \(what)", sourceLocation: place)
}
