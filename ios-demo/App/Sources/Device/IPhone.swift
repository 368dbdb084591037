import CoreMLEnhancer
import Darwin
import DemoLogic
import EnhancerCore
import Foundation

/// The phone that the app runs on.
struct IPhone: Phone {
    let bundles = Bundle.main.bundleURL.appendingPathComponent("Bundles")

    var availableMemory: Int { Memory.available }

    var app: String {
        let version = Bundle.main.object(forInfoDictionaryKey: "CFBundleShortVersionString") as? String ?? "unknown"
        return "edgekit-ios-demo \(version)"
    }

    var device: Device {
        let process = ProcessInfo.processInfo
        let version = process.operatingSystemVersion
        return Device(
            manufacturer: "Apple", model: machine, system: "iOS \(version.majorVersion).\(version.minorVersion).\(version.patchVersion)",
            processor: "\(process.processorCount) cores", memoryMb: Int(process.physicalMemory / 1_000_000))
    }

    func canRun(_ artifact: Artifact) -> Bool { artifact.backend == "coreml" }

    func open(_ artifact: Artifact, at file: URL) async throws -> any Enhancer { try await CoreMLEnhancer.open(artifact, at: file) }

    func size(of file: Data) throws -> PictureSize { try PictureFile.size(of: file) }

    func decode(_ file: Data, longestSide: Int) throws -> RgbPicture { try PictureFile.decode(file, longestSide: longestSide) }

    func save(_ picture: RgbPicture) async throws { try await PhotoLibrary.add(PictureFile.encode(picture)) }

    func nowNs() -> UInt64 { DispatchTime.now().uptimeNanoseconds }

    func peakMemoryMb() -> Double? { Memory.peak.map { Double($0) / 1_000_000 } }

    func thermal() -> EnhancerCore.ThermalState {
        switch ProcessInfo.processInfo.thermalState {
        case .nominal: .none
        case .fair: .light
        case .serious: .severe
        case .critical: .critical
        @unknown default: .critical
        }
    }

    /// Such as "iPhone14,2".
    private var machine: String {
        var name = utsname()
        uname(&name)
        return withUnsafeBytes(of: &name.machine) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
