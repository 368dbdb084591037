import DemoLogic
import EnhancerCore
import SwiftUI

/// Runs every model file on its golden pair and on the clock, says what came out, and shares the report.
struct SelfTestScreen: View {
    @State private var model: SelfTestModel
    @Environment(\.dismiss) private var dismiss

    init(phone: any Phone) {
        model = SelfTestModel(phone: phone)
    }

    var body: some View {
        NavigationStack {
            List {
                ForEach(model.sections) { section in
                    Section {
                        if let problem = section.problem { ProblemLine(problem: problem) }
                        ForEach(section.rows) { row in
                            SelfTestRow(row: row) { model.prefer(row.artifact, for: section.role) }
                        }
                        if let report = section.report {
                            ShareLink(item: report) { Label("Share the report", systemImage: "square.and.arrow.up") }
                        }
                    } header: {
                        Text(section.role == .preview ? "Live preview" : "Photographs")
                    }
                }
            }
            .navigationTitle("Self-test")
            .toolbar {
                ToolbarItem(placement: .cancellationAction) {
                    Button("Close") { dismiss() }
                }
                ToolbarItem(placement: .primaryAction) {
                    if model.isRunning {
                        Button("Stop", action: model.cancel)
                    } else {
                        Button("Run", action: model.run)
                    }
                }
            }
        }
        .onAppear(perform: model.load)
        .onDisappear(perform: model.cancel)
    }
}

private struct SelfTestRow: View {
    let row: SelfTestModel.Row
    let prefer: @MainActor () -> Void

    var body: some View {
        Button(action: prefer) {
            VStack(alignment: .leading) {
                HStack {
                    Text(verbatim: row.artifact.name)
                    Spacer()
                    if row.isPreferred { Image(systemName: "checkmark").accessibilityLabel("In use") }
                }
                status.font(.footnote).foregroundStyle(.secondary)
            }
        }
        .accessibilityHint("Uses this file from now on")
    }

    @ViewBuilder private var status: some View {
        switch row.status {
        case .waiting: Text("Not tested")
        case .running(let done, let total): Text("Running: \(done) of \(total)").monospacedDigit()
        case .done(let report): SelfTestResult(report: report)
        }
    }
}

private struct SelfTestResult: View {
    let report: ArtifactReport

    var body: some View {
        VStack(alignment: .leading) {
            if let golden = report.golden {
                let difference = golden.maxAbs.map { String(format: "%.5f", $0) } ?? "–"
                let psnr = golden.psnrDb.map { String(format: "%.1f", $0) } ?? "–"
                if golden.within {
                    Text("Right: largest difference \(difference), \(psnr) dB")
                } else {
                    Text("WRONG: largest difference \(difference), \(psnr) dB").foregroundStyle(.red)
                }
            } else {
                Text("Not compared: \(report.whyNot["golden"] ?? "–")")
            }
            if let latency = report.latency {
                let median = String(format: "%.1f", latency.medianMs)
                let slow = String(format: "%.1f", latency.p90Ms)
                Text("Median \(median) ms a tile, nine of ten within \(slow) ms")
                if let peak = latency.peakMemoryMb { Text("Memory at most \(String(format: "%.0f", peak)) MB") }
            } else {
                Text("Not timed: \(report.whyNot["latency"] ?? "–")")
            }
            Text("Heat before and after: \(report.thermalBefore.rawValue), \(report.thermalAfter.rawValue)")
        }
        .monospacedDigit()
    }
}
