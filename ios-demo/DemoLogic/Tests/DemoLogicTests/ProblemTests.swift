import EnhancerCore
import Foundation
import Testing

@testable import DemoLogic

struct ProblemTests {
    private let all: [Problem] = [
        .cameraDenied, .noCamera, .cameraBusy, .cameraFailed(""), .noBundle(.preview), .brokenBundle(.capture, line: ""), .modelFailed(""), .lowMemory,
        .unreadablePicture, .photosDenied, .saveFailed(""),
    ]

    @Test func nobodyIsStuck() {
        for problem in all { #expect(!problem.remedies.isEmpty, "\(problem)") }
    }

    @Test func refusedPermissionsLeadToSettings() {
        for problem in all {
            #expect(problem.remedies.contains(.openSettings) == [.cameraDenied, .photosDenied].contains(problem), "\(problem)")
        }
    }

    @Test func errorsKeepTheirLine() {
        struct Other: Error {}
        #expect(Problem.model(Problem.lowMemory) == .lowMemory)
        #expect(Problem.model(EnhancerError.modelFailed("why")) == .modelFailed("why"))
        #expect(Problem.model(Other()) == .modelFailed("Other()"))
    }
}
