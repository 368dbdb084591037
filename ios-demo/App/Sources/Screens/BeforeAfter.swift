import CoreGraphics
import SwiftUI

/// Two pictures of the same scene, one over the other: left of the line the first, right of it the second.
struct BeforeAfter: View {
    let before: CGImage
    let after: CGImage
    @State private var share = 0.5

    private static let step = 0.1

    var body: some View {
        GeometryReader { place in
            ZStack {
                picture(after)
                picture(before)
                    .mask(alignment: .leading) { Rectangle().frame(width: share * place.size.width) }
                Rectangle()
                    .fill(.white)
                    .frame(width: 2)
                    .position(x: share * place.size.width, y: place.size.height / 2)
            }
            .contentShape(Rectangle())
            .gesture(
                DragGesture(minimumDistance: 0).onChanged { drag in
                    share = min(max(drag.location.x / place.size.width, 0), 1)
                })
        }
        .aspectRatio(CGFloat(after.width) / CGFloat(after.height), contentMode: .fit)
        .accessibilityElement()
        .accessibilityLabel("Before and after")
        .accessibilityValue("\(Int((share * 100).rounded())) percent before")
        .accessibilityAdjustableAction { direction in
            switch direction {
            case .increment: share = min(share + Self.step, 1)
            case .decrement: share = max(share - Self.step, 0)
            @unknown default: break
            }
        }
    }

    private func picture(_ image: CGImage) -> some View {
        Image(decorative: image, scale: 1).resizable().scaledToFit()
    }
}
