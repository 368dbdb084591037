import EnhancerCore
import Foundation

/// Which model file the user prefers, of those that this app can run; kept between launches.
public struct Choices {
    private let store: UserDefaults

    public init(_ store: UserDefaults = .standard) {
        self.store = store
    }

    /// The preferred artifact while the bundle has it, else the manifest's first that `phone` can run. Throws Problem if it can run none.
    func artifact(of bundle: ModelBundle, for role: Role, on phone: any Phone) throws -> Artifact {
        guard bundle.manifest.routing == nil else {
            throw Problem.brokenBundle(role, line: "its files are variants, chosen tile by tile; expected one network: this app opens one file")
        }
        let usable = bundle.manifest.artifacts.filter(phone.canRun)
        let preferred = usable.first { $0.name == store.string(forKey: role.key) }
        guard let found = preferred ?? usable.first else {
            let backends = Set(bundle.manifest.artifacts.map(\.backend)).sorted().joined(separator: ", ")
            throw Problem.brokenBundle(role, line: "the bundle has files for \(backends) only; expected one for this phone: export it with --target ios")
        }
        return found
    }

    func prefer(_ artifact: Artifact, for role: Role) {
        store.set(artifact.name, forKey: role.key)
    }
}

extension Role {
    fileprivate var key: String { "artifact.\(rawValue)" }
}
