import DemoLogic
import SwiftUI
import UIKit

/// What went wrong, in one line, and what can be done.
struct ProblemScreen: View {
    let model: DemoModel
    let problem: Problem
    let selfTest: @MainActor () -> Void

    var body: some View {
        ContentUnavailableView {
            Label {
                Text("This does not work now")
            } icon: {
                Image(systemName: "exclamationmark.triangle")
            }
        } description: {
            ProblemLine(problem: problem)
        } actions: {
            RemedyButtons(model: model, problem: problem, retry: model.dismiss)
            Button("Self-test", action: selfTest)
        }
        .buttonStyle(.bordered)
    }
}

/// A button for each remedy; `retry` is what trying again means here.
struct RemedyButtons: View {
    let model: DemoModel
    let problem: Problem
    let retry: @MainActor () -> Void
    @Environment(\.openURL) private var openURL

    var body: some View {
        ForEach(problem.remedies, id: \.self) { remedy in
            switch remedy {
            case .openSettings:
                Button("Open Settings") {
                    if let settings = URL(string: UIApplication.openSettingsURLString) { openURL(settings) }
                }
            case .choosePicture: PictureButton(model: model) { Text("Choose a picture") }
            case .tryAgain: Button("Try again", action: retry)
            }
        }
    }
}

/// The line itself.
struct ProblemLine: View {
    let problem: Problem

    var body: some View {
        switch problem {
        case .cameraDenied: Text("The app may not use the camera: allow it in Settings, or choose a picture.")
        case .noCamera: Text("This device has no back camera: choose a picture instead.")
        case .cameraBusy: Text("The camera is busy: close the app that uses it.")
        case .cameraFailed(let line): Text("The camera failed: \(line)")
        case .noBundle(let role): Text("There is no model for \(role.rawValue): copy one with edgekit bundle, and build again.")
        case .brokenBundle(let role, let line): Text("The model for \(role.rawValue) cannot be used: \(line)")
        case .modelFailed(let line): Text("The model failed: \(line)")
        case .lowMemory: Text("There is not enough memory: close other apps, or choose a smaller picture.")
        case .unreadablePicture: Text("This picture cannot be read: choose another one.")
        case .photosDenied: Text("The app may not add pictures to your library: allow it in Settings.")
        case .saveFailed(let line): Text("The picture was not saved: \(line)")
        }
    }
}
