import Foundation

/// Strict JSON (RFC 8259) of bounded depth. Own, because Foundation's decoder of Swift 6.0 ends the process at a key that is no text.
///
/// Refused besides: a key twice in one object, numbers that a double cannot hold, halves of surrogate pairs.
struct JsonParser {
    /// Levels of objects and lists. A real manifest has nine; a phone's stack is small.
    static let deepest = 64

    /// The document's bytes and a 0 behind them, which no token goes over.
    private let bytes: [UInt8]
    private var at = 0
    private var depth = 0

    /// `name` opens the message. Throws `EnhancerError.invalidManifest`.
    static func parse(_ data: Data, name: String) throws -> Json {
        guard String(data: data, encoding: .utf8) != nil else { throw EnhancerError.invalidManifest("\(name): is not UTF-8 text; expected what edgekit wrote") }
        var parser = JsonParser(bytes: [UInt8](data) + [0])
        do {
            let value = try parser.value()
            parser.skipSpace()
            guard parser.at == data.count else { throw Refusal.unexpected("more after the end") }
            return value
        } catch Refusal.unexpected(let what) {
            throw EnhancerError.invalidManifest("\(name): is not JSON as expected (\(what) at byte \(parser.at)): export the bundle again")
        }
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private enum Refusal: Error {
        case unexpected(String)
    }

    private mutating func value() throws -> Json {
        skipSpace()
        switch bytes[at] {
        case UInt8(ascii: "{"): return try nested { try $0.object() }
        case UInt8(ascii: "["): return try nested { try $0.list() }
        case UInt8(ascii: "\""): return .text(try text())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func nested(_ body: (inout JsonParser) throws -> Json) throws -> Json {
        depth += 1
        guard depth <= Self.deepest else { throw Refusal.unexpected("more than \(Self.deepest) levels") }
        at += 1
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func object() throws -> Json {
        var values: [String: Json] = [:]
        if take("}") { return .object(values) }
        repeat {
            skipSpace()
            let key = try text()
            guard take(":") else { throw Refusal.unexpected("no colon") }
            guard values.updateValue(try value(), forKey: key) == nil else { throw Refusal.unexpected("the key '\(key.oneLine(40))' a second time") }
        } while take(",")
        guard take("}") else { throw Refusal.unexpected("no end of an object") }
        return .object(values)
    }

    private mutating func list() throws -> Json {
        var values: [Json] = []
        if take("]") { return .list(values) }
        repeat { values.append(try value()) } while take(",")
        guard take("]") else { throw Refusal.unexpected("no end of a list") }
        return .list(values)
    }

    private mutating func text() throws -> String {
        guard bytes[at] == UInt8(ascii: "\"") else { throw Refusal.unexpected("no text") }
        at += 1
        var found: [UInt8] = []
        while bytes[at] != UInt8(ascii: "\"") {
            let byte = bytes[at]
            guard byte >= 0x20 else { throw Refusal.unexpected("a text without an end") }
            at += 1
            if byte == UInt8(ascii: "\\") {
                found += Array(String(try escaped()).utf8)
            } else {
                found.append(byte)
            }
        }
        at += 1
        return String(decoding: found, as: UTF8.self)
    }

    private mutating func escaped() throws -> Unicode.Scalar {
        let byte = bytes[at]
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"): return try unicode()
        default:
            at -= 1
            throw Refusal.unexpected("an unknown escape")
        }
    }

    /// The four digits behind \u, and the second half of a pair.
    private mutating func unicode() throws -> Unicode.Scalar {
        let first = try fourDigits()
        if let scalar = Unicode.Scalar(first) { return scalar }
        if first < 0xdc00, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") {
            at += 2
            let second = try fourDigits()
            if (0xdc00...0xdfff).contains(second), let scalar = Unicode.Scalar(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)) { return scalar }
        }
        throw Refusal.unexpected("half of a surrogate pair")
    }

    private mutating func fourDigits() throws -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue else { throw Refusal.unexpected("no hexadecimal digit") }
            value = (value << 4) + UInt32(digit)
            at += 1
        }
        return value
    }

    private mutating func number() throws -> Json {
        let start = at
        if bytes[at] == UInt8(ascii: "-") { at += 1 }
        if bytes[at] == UInt8(ascii: "0") { at += 1 } else { try digits() }
        if bytes[at] == UInt8(ascii: ".") {
            at += 1
            try digits()
        }
        if bytes[at] | 0x20 == UInt8(ascii: "e") {
            at += 1
            if bytes[at] == UInt8(ascii: "+") || bytes[at] == UInt8(ascii: "-") { at += 1 }
            try digits()
        }
        guard let number = Double(String(decoding: bytes[start..<at], as: UTF8.self)), number.isFinite else {
            throw Refusal.unexpected("a number too large")
        }
        return .number(number)
    }

    private mutating func digits() throws {
        let start = at
        while (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[at]) { at += 1 }
        guard at > start else { throw Refusal.unexpected(at == bytes.count - 1 ? "the end" : "no value") }
    }

    private mutating func word(_ word: StaticString, _ value: Json) throws -> Json {
        for i in 0..<word.utf8CodeUnitCount {
            guard bytes[at] == word.utf8Start[i] else { throw Refusal.unexpected("an unknown word") }
            at += 1
        }
        return value
    }

    private mutating func take(_ mark: Unicode.Scalar) -> Bool {
        skipSpace()
        guard bytes[at] == UInt8(ascii: mark) else { return false }
        at += 1
        return true
    }

    private mutating func skipSpace() {
        while [0x20, 0x09, 0x0a, 0x0d].contains(bytes[at]) { at += 1 }
    }
}
