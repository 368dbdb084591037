import AVFoundation

/// Takes the camera's frames from its queue.
final class FrameReceiver: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, Sendable {
    let queue = DispatchQueue(label: "edgekit.demo.frames", qos: .userInitiated)
    private let receive: @Sendable (PixelBufferFrame) -> Void

    init(_ receive: @escaping @Sendable (PixelBufferFrame) -> Void) {
        self.receive = receive
    }

    func captureOutput(_ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection) {
        if let buffer = CMSampleBufferGetImageBuffer(sampleBuffer) { receive(PixelBufferFrame(buffer)) }
    }
}
