// swift-tools-version:6.0
import PackageDescription

let package = Package(
    name: "EnhancerKit",
    platforms: [.iOS(.v17), .macOS(.v14)],
    products: [
        .library(name: "EnhancerCore", targets: ["EnhancerCore"]),
        .library(name: "CoreMLEnhancer", targets: ["CoreMLEnhancer"]),
    ],
    targets: [
        .target(name: "EnhancerCore"),
        .target(name: "CoreMLEnhancer", dependencies: ["EnhancerCore"]),
        .testTarget(name: "EnhancerCoreTests", dependencies: ["EnhancerCore"]),
        .testTarget(name: "CoreMLEnhancerTests", dependencies: ["CoreMLEnhancer"]),
    ]
)
