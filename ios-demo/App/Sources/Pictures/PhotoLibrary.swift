import DemoLogic
import Photos

/// The user's photo library; the app may add to it and never reads it (the picker runs outside the app).
enum PhotoLibrary {
    /// Asks for permission the first time. Throws Problem.
    static func add(_ file: Data) async throws {
        guard await PHPhotoLibrary.requestAuthorization(for: .addOnly) == .authorized else { throw Problem.photosDenied }
        do {
            try await PHPhotoLibrary.shared().performChanges { @Sendable in
                PHAssetCreationRequest.forAsset().addResource(with: .photo, data: file, options: nil)
            }
        } catch {
            throw Problem.saveFailed(error.localizedDescription)
        }
    }
}
