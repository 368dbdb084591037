import DemoLogic
import SwiftUI

@main
struct EdgekitDemoApp: App {
    @State private var model: DemoModel
    private let camera: Camera

    init() {
        let camera = Camera()
        self.camera = camera
        model = DemoModel(phone: IPhone(), camera: camera)
    }

    var body: some Scene {
        WindowGroup {
            RootScreen(model: model, preview: camera.preview)
        }
    }
}
