#if canImport(CoreML)
import CoreML
import EnhancerCore

/// An opened .mlpackage. The model stays on this actor, which runs on a queue of its own: loading and predicting block.
public actor CoreMLEnhancer: Enhancer {
    public nonisolated let runtime: String
    /// Core ML decides.
    public nonisolated var threads: Int? { nil }

    private let queue = DispatchSerialQueue(label: "edgekit.coreml")
    private var opened: Opened?

    public nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    private struct Opened {
        let model: MLModel
        let input: Port
        let output: Port
        let options = MLPredictionOptions()
    }

    /// Opens the artifact at `package`, compiled once and then kept in the caches. `units`: nil for those that the manifest names. Takes seconds the first
    /// time. Throws `EnhancerError.modelFailed`, `.invalidManifest` if the file is not what the manifest says.
    public static func open(_ artifact: Artifact, at package: URL, units: ComputeUnits? = nil) async throws -> CoreMLEnhancer {
        guard let units = units ?? ComputeUnits(rawValue: artifact.delegate) else {
            let known = ComputeUnits.allCases.map(\.rawValue).joined(separator: ", ")
            throw EnhancerError.invalidManifest("artifact '\(artifact.name)': delegate is '\(artifact.delegate)'; expected one of \(known)")
        }
        let caches = try FileManager.default.url(for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true)
        let compiled = CompiledModels(folder: caches.appendingPathComponent("edgekit")) { try await MLModel.compileModel(at: $0) }
        let enhancer = CoreMLEnhancer(units: units)
        do {
            try await compiled.open(package, sha256: artifact.sha256) { try await enhancer.load($0, artifact, units) }
        } catch let error as EnhancerError {
            throw error
        } catch {
            throw EnhancerError.modelFailed("\(artifact.file): Core ML cannot open it: \(error.localizedDescription)")
        }
        return enhancer
    }

    private init(units: ComputeUnits) {
        runtime = "Core ML (\(units.rawValue))"
    }

    public func run(_ input: Tensor, into output: inout Tensor) throws {
        guard let opened else { throw EnhancerError.modelFailed("the model is closed; expected it open") }
        try opened.input.write(input)
        let result = try predict(opened)
        guard let value = result.featureValue(for: opened.output.name) else {
            throw EnhancerError.modelFailed("the model gives no '\(opened.output.name)'; expected the manifest's output")
        }
        try opened.output.read(value, into: &output)
    }

    public func close() {
        opened = nil
    }

    private func load(_ compiled: URL, _ artifact: Artifact, _ units: ComputeUnits) throws {
        let configuration = MLModelConfiguration()
        configuration.computeUnits = units.coreML
        let model = try MLModel(contentsOf: compiled, configuration: configuration)
        let description = model.modelDescription
        let input = try Port(artifact.input, description.inputDescriptionsByName[artifact.input.name])
        let output = try Port(artifact.output, description.outputDescriptionsByName[artifact.output.name])
        let opened = Opened(model: model, input: input, output: output)
        opened.options.outputBackings = [output.name: output.backing]
        self.opened = opened
    }

    /// Into the output's own memory; where Core ML does not take that, into a new array each time.
    private func predict(_ opened: Opened) throws -> any MLFeatureProvider {
        do {
            let provider = try MLDictionaryFeatureProvider(dictionary: [opened.input.name: opened.input.value])
            if let result = try? opened.model.prediction(from: provider, options: opened.options) { return result }
            opened.options.outputBackings = [:]
            return try opened.model.prediction(from: provider, options: opened.options)
        } catch {
            throw EnhancerError.modelFailed("Core ML cannot run the model: \(error.localizedDescription)")
        }
    }
}

extension ComputeUnits {
    var coreML: MLComputeUnits {
        switch self {
        case .all: .all
        case .neuralEngine: .cpuAndNeuralEngine
        case .gpu: .cpuAndGPU
        case .cpu: .cpuOnly
        }
    }
}
#endif
