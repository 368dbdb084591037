import EnhancerCore

/// A model file that is ready to run.
struct OpenModel: Sendable {
    let artifact: Artifact
    let image: ImageContract
    let enhancer: any Enhancer
    let pictures: PictureEnhancer

    /// Verifies and opens the artifact of a role that the user prefers. Throws Problem.
    @MainActor static func open(_ role: Role, on phone: any Phone, choices: Choices) async throws -> OpenModel {
        let bundle = try ModelBundle.of(role, in: phone.bundles)
        return try await open(try choices.artifact(of: bundle, for: role, on: phone), of: bundle, for: role, on: phone)
    }

    private static func open(_ artifact: Artifact, of bundle: ModelBundle, for role: Role, on phone: any Phone) async throws -> OpenModel {
        do {
            try bundle.verify(artifact)
            let enhancer = try await phone.open(artifact, at: bundle.url(of: artifact))
            let image = bundle.manifest.image
            let pictures = try PictureEnhancer(enhancer, artifact: artifact, image: image)
            return OpenModel(artifact: artifact, image: image, enhancer: enhancer, pictures: pictures)
        } catch EnhancerError.invalidFile(let line), EnhancerError.invalidManifest(let line) {
            throw Problem.brokenBundle(role, line: line)
        } catch {
            throw Problem.model(error)
        }
    }
}
