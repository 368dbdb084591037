import AVFoundation
import SwiftUI
import UIKit

/// What the camera sees, as the system draws it: full screen, behind everything.
struct CameraPreview: UIViewRepresentable {
    /// Hands the session from the camera's actor to the layer, which only displays it: AVFoundation permits that from the main thread.
    struct Source: @unchecked Sendable {
        fileprivate let session: AVCaptureSession

        init(_ session: AVCaptureSession) {
            self.session = session
        }
    }

    let source: Source

    func makeUIView(context: Context) -> LayerView {
        let view = LayerView()
        view.backgroundColor = .black
        view.previewLayer?.videoGravity = .resizeAspectFill
        view.previewLayer?.session = source.session
        return view
    }

    func updateUIView(_ view: LayerView, context: Context) {}

    final class LayerView: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }

        var previewLayer: AVCaptureVideoPreviewLayer? { layer as? AVCaptureVideoPreviewLayer }
    }
}
