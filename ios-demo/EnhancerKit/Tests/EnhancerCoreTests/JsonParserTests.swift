import XCTest

@testable import EnhancerCore

final class JsonParserTests: XCTestCase {
    private func parse(_ text: String) throws -> Json {
        try JsonParser.parse(Data(text.utf8), name: "file")
    }

    func testValues() throws {
        let cases: [(String, Json)] = [
            ("null", .null), (" true\n", .bool(true)), ("false", .bool(false)), ("0", .number(0)), ("-0.5e+2", .number(-50)), ("1E-2", .number(0.01)),
            ("9007199254740991", .number(9_007_199_254_740_991)), ("\"\"", .text("")), ("[ ]", .list([])), ("{\t}", .object([:])),
            ("[1,[2],{}]", .list([.number(1), .list([.number(2)]), .object([:])])), ("{\"a\":{\"b\":[null]}}", .object(["a": .object(["b": .list([.null])])])),
            (#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é😀""#, .text("\"\\/\u{8}\u{c}\n\r\té😀é😀")),
        ]
        for (text, value) in cases { XCTAssertEqual(try parse(text), value, text) }
    }

    func testRefusals() {
        let texts = [
            "", " ", "nul", "nullx", "True", "01", "+1", ".5", "1.", "1e", "-", "1e999", "0x1", "NaN", "Infinity", "[1,]", "[,1]", "[1 2]", "[", "]", "{\"a\"}",
            "{\"a\":}", "{a:1}", "{\"a\":1,}", "{\"a\":1 \"b\":2}", "{\"a\":1,\"a\":2}", "\"", "\"\\x\"", "\"\\u12g4\"", "\"\\ud83d\"", "\"\\ud83d\\u0041\"",
            "\"\\ude00\"", "\"\\ud8", "\"a\nb\"", "\"a\u{0}b\"", "1 2", "// 1", "'a'", "\u{feff}1",
        ]
        for text in texts {
            XCTAssertThrowsError(try parse(text), text) { XCTAssert("\($0)".contains("file: is not JSON as expected"), "\($0)") }
        }
    }

    func testBytesThatAreNoText() {
        let texts: [[UInt8]] = [[0x22, 0xff, 0x22], [0x22, 0xc0, 0xaf, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0xff, 0xfe, 0x31, 0x00]]
        for bytes in texts { XCTAssertThrowsError(try JsonParser.parse(Data(bytes), name: "file"), "\(bytes)") }
    }

    func testDepth() throws {
        func nested(_ levels: Int) -> String { String(repeating: "[", count: levels) + String(repeating: "]", count: levels) }
        XCTAssertNoThrow(try parse(nested(64)))
        XCTAssertThrowsError(try parse(nested(65))) { XCTAssert("\($0)".contains("more than 64 levels"), "\($0)") }
    }
}
