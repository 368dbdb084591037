// swift-tools-version:6.0
import PackageDescription

let package = Package(
    name: "EnhancerKit",
    platforms: [.iOS(.v16), .macOS(.v13)],
    products: [
        .library(name: "EnhancerCore", targets: ["EnhancerCore"])
    ],
    targets: [
        .target(name: "EnhancerCore"),
        .testTarget(name: "EnhancerCoreTests", dependencies: ["EnhancerCore"]),
    ]
)
