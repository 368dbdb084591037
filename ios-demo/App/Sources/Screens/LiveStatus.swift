import DemoLogic
import SwiftUI

/// How the live preview does: its rate and dropped frames, or why there is none.
struct LiveStatus: View {
    let live: Live

    var body: some View {
        VStack(spacing: 4) {
            if live.isInterrupted {
                Text("Another app or a call uses the camera.")
            } else if let notice = live.notice {
                ProblemLine(problem: notice)
            } else if live.isPaused {
                Text("Live enhancement rests until the phone is cooler.")
            } else {
                Text("\(live.stats.fps) frames a second, \(live.stats.dropped) dropped").monospacedDigit()
            }
        }
        .font(.footnote)
        .multilineTextAlignment(.center)
        .foregroundStyle(.white)
        .padding(8)
        .background(.black.opacity(0.5))
    }
}
