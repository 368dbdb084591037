import XCTest

@testable import EnhancerCore

final class PreviewSchedulerTests: XCTestCase {
    private struct Event: Decodable {
        var atMs: Int
        var event: String
        var id: Int?
        var state: String?
        var then: String
        var fps: Int
        var shown: Int
        var dropped: Int
    }

    private struct Case: Decodable {
        var name: String
        var goalFps: Int
        var events: [Event]
    }

    private struct File: Decodable {
        var cases: [Case]
    }

    func testGoldenEvents() throws {
        let file: File = try Fixtures.read("scheduler.json")
        XCTAssertGreaterThanOrEqual(file.cases.count, 12)
        for test in file.cases {
            var scheduler = PreviewScheduler<Int>(goalFps: test.goalFps)
            for event in test.events {
                let place = "\(test.name): \(event)"
                let decision = try decide(&scheduler, event)
                switch event.then {
                case "start": XCTAssertEqual(decision, .start(try XCTUnwrap(event.id)), place)
                case "wait": XCTAssertEqual(decision, .wait, place)
                case "skip": XCTAssertEqual(decision, .skip, place)
                case "idle", "none": XCTAssertEqual(decision, .idle, place)
                default: XCTFail("\(place): then")
                }
                XCTAssertEqual(scheduler.stats(atMs: event.atMs), FrameStats(fps: event.fps, shown: event.shown, dropped: event.dropped), place)
            }
        }
    }

    private func decide(_ scheduler: inout PreviewScheduler<Int>, _ event: Event) throws -> PreviewScheduler<Int>.Decision {
        switch event.event {
        case "frame": return scheduler.frame(try XCTUnwrap(event.id), atMs: event.atMs)
        case "done": return scheduler.done(atMs: event.atMs)
        case "tick": return scheduler.tick(atMs: event.atMs)
        case "thermal":
            scheduler.thermal(try XCTUnwrap(ThermalState(rawValue: try XCTUnwrap(event.state))))
            return .idle
        default:
            XCTFail("event \(event.event)")
            return .idle
        }
    }

    func testFailedIsNotShown() {
        var scheduler = PreviewScheduler<Int>(goalFps: 30)
        XCTAssertEqual(scheduler.frame(1, atMs: 0), .start(1))
        XCTAssertEqual(scheduler.frame(2, atMs: 50), .wait)
        XCTAssertEqual(scheduler.failed(atMs: 60), .start(2))
        XCTAssertEqual(scheduler.stats(atMs: 60), FrameStats(fps: 0, shown: 0, dropped: 0))
    }

    /// Frames that will not be used are let go, not kept alive.
    func testDroppedFramesAreFreed() {
        final class Frame {}
        var scheduler = PreviewScheduler<Frame>(goalFps: 30)
        _ = scheduler.frame(Frame(), atMs: 0)
        weak var waiting: Frame?
        do {
            let frame = Frame()
            waiting = frame
            _ = scheduler.frame(frame, atMs: 10)
        }
        XCTAssertNotNil(waiting)
        _ = scheduler.frame(Frame(), atMs: 20)
        XCTAssertNil(waiting)
        scheduler.clear()
        XCTAssertEqual(scheduler.stats(atMs: 20).dropped, 2)
    }
}
