import DemoLogic
import EnhancerCore
import SwiftUI

/// The camera; in its centre, enlarged, what the preview model makes of it.
struct LiveScreen: View {
    let model: DemoModel
    let preview: CameraPreview.Source
    let selfTest: @MainActor () -> Void

    var body: some View {
        ZStack {
            CameraPreview(source: preview)
                .ignoresSafeArea()
                .accessibilityLabel("Camera picture")
            if let loupe = model.live.loupe, !model.live.isPaused {
                LoupeView(picture: loupe, side: model.live.loupeSide)
            }
            VStack {
                LiveStatus(live: model.live)
                Spacer()
                buttons
            }
            .padding()
        }
        .background(.black)
    }

    private var buttons: some View {
        HStack {
            PictureButton(model: model) {
                Image(systemName: "photo.on.rectangle").font(.title)
            }
            .accessibilityLabel("Choose a picture")
            Spacer()
            Button(action: model.capture) {
                Image(systemName: "camera.circle.fill").font(.system(size: 72))
            }
            .accessibilityLabel("Take a photograph and enhance it")
            Spacer()
            Button(action: selfTest) {
                Image(systemName: "gauge.with.needle").font(.title)
            }
            .accessibilityLabel("Self-test")
        }
        .foregroundStyle(.white)
    }
}

/// The enhanced centre of the picture, larger than it stands in the camera's picture.
private struct LoupeView: View {
    let picture: RgbPicture
    let side: PictureSize

    var body: some View {
        if let image = PictureFile.image(of: picture) {
            Image(decorative: image, scale: 1)
                .resizable()
                .scaledToFit()
                .frame(width: 240, height: 240)
                .border(.white, width: 1)
                .accessibilityElement()
                .accessibilityLabel("Enhanced centre, \(side.width) by \(side.height) pixels of the camera")
        }
    }
}
