import DemoLogic
import SwiftUI

/// A picture on its way: tiles done, and a way out.
struct WorkScreen: View {
    let work: Work
    let cancel: @MainActor () -> Void

    var body: some View {
        VStack(spacing: 24) {
            if work.total > 0 {
                ProgressView(value: Double(work.done), total: Double(work.total))
                    .accessibilityLabel("Progress")
                Text("\(work.done) of \(work.total) tiles").monospacedDigit()
            } else {
                ProgressView()
                Text("Opening the picture and the model")
            }
            Button("Cancel", role: .cancel, action: cancel)
                .buttonStyle(.bordered)
        }
        .padding(32)
    }
}
