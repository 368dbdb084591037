// swift-tools-version:6.0
import PackageDescription

let package = Package(
    name: "DemoLogic",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [.library(name: "DemoLogic", targets: ["DemoLogic"])],
    dependencies: [.package(path: "../EnhancerKit")],
    targets: [
        .target(name: "DemoLogic", dependencies: [.product(name: "EnhancerCore", package: "EnhancerKit")]),
        .testTarget(name: "DemoLogicTests", dependencies: ["DemoLogic"]),
    ]
)
