import DemoLogic
import SwiftUI
import UIKit

/// One screen for each state of the model, and the system's events.
struct RootScreen: View {
    let model: DemoModel
    let preview: CameraPreview.Source
    @Environment(\.scenePhase) private var phase
    @State private var isTesting = false

    var body: some View {
        screen
            .sheet(isPresented: $isTesting) {
                SelfTestScreen(phone: model.phone)
            }
            .onChange(of: isInSight, initial: true) { _, isInSight in
                if isInSight {
                    model.appear()
                } else {
                    Task { await model.disappear() }
                }
            }
            .onChange(of: isTesting) { _, _ in
                Task { await model.closeCaptureModel() }  // the self-test needs its memory, and may choose another file
            }
            .onChange(of: isWorking) { _, isWorking in
                UIApplication.shared.isIdleTimerDisabled = isWorking
            }
            .onReceive(NotificationCenter.default.publisher(for: UIApplication.didReceiveMemoryWarningNotification)) { _ in
                Task { await model.memoryWarning() }
            }
    }

    @ViewBuilder private var screen: some View {
        switch model.screen {
        case .live: LiveScreen(model: model, preview: preview) { isTesting = true }
        case .enhancing(let work): WorkScreen(work: work, cancel: model.cancel)
        case .comparing(let comparison): CompareScreen(model: model, comparison: comparison)
        case .problem(let problem): ProblemScreen(model: model, problem: problem) { isTesting = true }
        }
    }

    private var isInSight: Bool { phase != .background && !isTesting }

    private var isWorking: Bool {
        if case .enhancing = model.screen { true } else { false }
    }
}
