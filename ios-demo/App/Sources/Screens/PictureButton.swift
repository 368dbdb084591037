import DemoLogic
import Foundation
import PhotosUI
import SwiftUI

/// Opens the system's picker; the app sees only the picture that was picked, so it needs no permission.
struct PictureButton<Title: View>: View {
    let model: DemoModel
    @ViewBuilder let title: () -> Title
    @State private var picked: PhotosPickerItem?

    var body: some View {
        PhotosPicker(selection: $picked, matching: .images) { title() }
            .onChange(of: picked) { _, item in
                guard let item else { return }
                picked = nil
                model.choose { try await item.loadTransferable(type: Data.self) }
            }
    }
}
