import CoreGraphics
import DemoLogic
import SwiftUI

/// The picture before and after, with a line to drag between them; and saving.
struct CompareScreen: View {
    @Bindable var model: DemoModel
    let comparison: Comparison
    @State private var before: CGImage?
    @State private var after: CGImage?

    var body: some View {
        VStack {
            if let before, let after {
                BeforeAfter(before: before, after: after)
            } else {
                Spacer()
                ProgressView()
                Spacer()
            }
            Text("\(comparison.before.width) × \(comparison.before.height) became \(comparison.after.width) × \(comparison.after.height)")
                .font(.footnote)
                .monospacedDigit()
            HStack {
                Button("Back", action: model.dismiss)
                Spacer()
                saveButton
            }
            .buttonStyle(.bordered)
        }
        .padding()
        .task(id: comparison.number) {
            before = PictureFile.image(of: comparison.before)
            after = PictureFile.image(of: comparison.after)
        }
        .alert("Not saved", isPresented: $model.isSaveProblemShown, presenting: model.saveProblem) { problem in
            RemedyButtons(model: model, problem: problem, retry: model.save)
            Button("Close", role: .cancel) {}
        } message: { problem in
            ProblemLine(problem: problem)
        }
    }

    @ViewBuilder private var saveButton: some View {
        switch comparison.saving {
        case .notSaved: Button("Save", action: model.save)
        case .saving: ProgressView()
        case .saved: Label("Saved", systemImage: "checkmark")
        }
    }
}
