import Foundation

/// What the self-test asks the phone.
public protocol Probe: Sendable {
    /// Of a clock that never goes back.
    func nowNs() -> UInt64

    /// Of the process so far; nil where the system does not say.
    func peakMemoryMb() -> Double?

    func thermal() -> ThermalState
}

/// Runs the golden pair of an artifact, times the model, and says what it found.
public struct SelfTest: Sendable {
    public var bundle: ModelBundle
    public var probe: any Probe
    public var runs: Int
    public var warmUp: Int

    /// At least one run.
    public init(bundle: ModelBundle, probe: any Probe, runs: Int = 20, warmUp: Int = 3) {
        self.bundle = bundle
        self.probe = probe
        self.runs = max(1, runs)
        self.warmUp = max(0, warmUp)
    }

    /// Reads the artifact's file, opens it with `open` (given where it lies), compares, times and closes it. What cannot be measured is nil in the result, with
    /// the reason beside it. `runtime` names the runtime if the file does not open. `progress`: runs done, runs in all.
    /// Throws `EnhancerError.invalidFile` if the file cannot be read, so that there is nothing to report on, and CancellationError.
    public func run(
        _ artifact: Artifact,
        runtime: String,
        progress: PictureEnhancer.Progress? = nil,
        open: (Artifact, URL) async throws -> any Enhancer
    ) async throws -> ArtifactReport {
        let url = bundle.url(of: artifact)
        let found = try FileDigest(of: url)
        var report = ArtifactReport(
            name: artifact.name, sha256: found.sha256, runtime: runtime, golden: nil, latency: nil, thermalBefore: probe.thermal(),
            thermalAfter: probe.thermal(), whyNot: [:])
        do {
            try ModelBundle.require(found, artifact.bytes, artifact.sha256, artifact.file)
            let enhancer = try await open(artifact, url)
            report.runtime = enhancer.runtime
            do {
                try await measure(artifact, enhancer, progress, &report)
            } catch {
                await enhancer.close()
                throw error
            }
            await enhancer.close()
        } catch let error as CancellationError {
            throw error
        } catch {
            let reason = error.localizedDescription
            if report.golden == nil, report.whyNot["golden"] == nil { report.whyNot["golden"] = reason }
            if report.latency == nil { report.whyNot["latency"] = reason }
        }
        report.thermalAfter = probe.thermal()
        return report
    }

    private func measure(
        _ artifact: Artifact, _ enhancer: any Enhancer, _ progress: PictureEnhancer.Progress?, _ report: inout ArtifactReport
    ) async throws {
        var pair: GoldenPair?
        do {
            pair = try goldenPair(artifact)
        } catch {
            report.whyNot["golden"] = error.localizedDescription
        }
        let input = pair?.input ?? Tensor(artifact.input)
        var output = Tensor(artifact.output)
        let total = 1 + warmUp + runs
        var times: [Double] = []
        for done in 1...total {
            try Task.checkCancellation()
            let start = probe.nowNs()
            try await enhancer.run(input, into: &output)
            if done == 1, let pair {
                report.golden = GoldenResult(
                    expected: pair.expected, got: output.bytes, dtype: artifact.output.dtype, maxAbs: pair.maxAbs, minPsnrDb: pair.minPsnrDb)
            } else if done > 1 + warmUp {
                times.append(Double(probe.nowNs() - start) / 1e6)
            }
            progress?(done, total)
        }
        report.latency = LatencyResult(ms: times, threads: enhancer.threads, peakMemoryMb: probe.peakMemoryMb())
    }

    private struct GoldenPair {
        let input: Tensor
        let expected: [UInt8]
        let maxAbs: Double
        let minPsnrDb: Double
    }

    /// Throws `EnhancerError.invalidFile` if the bundle holds none that this artifact can be given.
    private func goldenPair(_ artifact: Artifact) throws -> GoldenPair {
        guard let golden = bundle.manifest.golden(of: artifact) else {
            throw EnhancerError.invalidFile("the bundle holds no golden output of \(artifact.name)")
        }
        let given = bundle.manifest.golden.input
        let input = try Tensor(golden: given, bytes: bundle.read(given), for: artifact.input)
        let output = golden.output
        guard output.dtype == artifact.output.dtype, output.shape == artifact.output.shape, output.layout == artifact.output.layout else {
            throw EnhancerError.invalidFile(
                "golden output is \(output.dtype) of \(output.shape); expected \(artifact.output.dtype) of \(artifact.output.shape)")
        }
        guard output.dtype == .float32 || output.dtype == .uint8 else {
            throw EnhancerError.invalidFile("golden output is \(output.dtype); expected float32 or uint8")
        }
        return GoldenPair(input: input, expected: try bundle.read(output), maxAbs: golden.maxAbs, minPsnrDb: golden.minPsnrDb)
    }
}
