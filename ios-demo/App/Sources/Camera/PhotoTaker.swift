import AVFoundation
import DemoLogic

/// Waits for one photograph. AVFoundation calls back on a queue of its own, once with the photograph and then once at the end, also if it failed.
final class PhotoTaker: NSObject, AVCapturePhotoCaptureDelegate, Sendable {
    private let results: AsyncStream<Result<Data, Problem>>
    private let send: AsyncStream<Result<Data, Problem>>.Continuation

    override init() {
        (results, send) = AsyncStream.makeStream()
    }

    func photo() async throws -> Data {
        for await result in results { return try result.get() }
        throw Problem.cameraBusy
    }

    func photoOutput(_ output: AVCapturePhotoOutput, didFinishProcessingPhoto photo: AVCapturePhoto, error: (any Error)?) {
        if let error {
            send.yield(.failure(.cameraFailed(error.localizedDescription)))
        } else if let data = photo.fileDataRepresentation() {
            send.yield(.success(data))
        }
    }

    func photoOutput(_ output: AVCapturePhotoOutput, didFinishCaptureFor resolvedSettings: AVCaptureResolvedPhotoSettings, error: (any Error)?) {
        if let error { send.yield(.failure(.cameraFailed(error.localizedDescription))) }
        send.finish()
    }
}
