/// What Core ML may execute a file with; for each operator it decides itself which of them to use.
public enum ComputeUnits: String, CaseIterable, Sendable {
    case all = "ane+gpu+cpu"
    case neuralEngine = "ane+cpu"
    case gpu = "gpu+cpu"
    case cpu = "cpu"
}
