/// A value of a JSON document and where it stands. Each reader throws `EnhancerError.invalidManifest` with the key's path, what is there and what was expected.
struct JsonField {
    /// Opens each message.
    let document: String
    /// Such as "image.tile[1]"; "" for the whole document.
    let path: String
    /// nil: the key is missing.
    let value: Json?

    init(_ document: String, _ value: Json) {
        self.init(document: document, path: "", value: value)
    }

    private init(document: String, path: String, value: Json?) {
        self.document = document
        self.path = path
        self.value = value
    }

    func refusal(expected: String) -> EnhancerError {
        let subject = path.isEmpty ? document : "\(document): \(path)"
        return .invalidManifest("\(subject) is \(value?.description ?? "missing"); expected \(expected)")
    }

    /// The value of a key, missing or not.
    func key(_ name: String) throws -> JsonField {
        guard case .object(let values) = value else { throw refusal(expected: "an object") }
        return JsonField(document: document, path: path.isEmpty ? name : "\(path).\(name)", value: values[name])
    }

    /// The key is missing or null.
    var isAbsent: Bool { value == nil || value == .null }

    /// The key is missing, null or an empty list.
    func none(_ why: String) throws {
        guard isAbsent || value == .list([]) else { throw refusal(expected: "none: \(why)") }
    }

    func list(_ counts: ClosedRange<Int> = 0...Int.max) throws -> [JsonField] {
        guard case .list(let values) = value, counts.contains(values.count) else {
            switch (counts.lowerBound, counts.upperBound) {
            case (0, _): throw refusal(expected: "a list")
            case (let least, Int.max): throw refusal(expected: "a list of at least \(least)")
            case (let least, _): throw refusal(expected: "a list of \(least)")
            }
        }
        return values.enumerated().map { JsonField(document: document, path: "\(path)[\($0)]", value: $1) }
    }

    func text() throws -> String {
        guard case .text(let text) = value else { throw refusal(expected: "a text") }
        return text
    }

    func name() throws -> String {
        let text = try text()
        guard !text.isEmpty else { throw refusal(expected: "a name") }
        return text
    }

    func number() throws -> Double {
        guard case .number(let number) = value, number.isFinite else { throw refusal(expected: "a number") }
        return number
    }

    /// By default up to 2^53 - 1: beyond it a double loses digits.
    func whole(atLeast least: Int, atMost most: Int = (1 << 53) - 1) throws -> Int {
        guard case .number(let number) = value, let whole = Int(exactly: number), whole >= least else {
            throw refusal(expected: "a whole number of at least \(least)")
        }
        guard whole <= most else { throw refusal(expected: "at most \(most)") }
        return whole
    }

    func word<Word: RawRepresentable & CaseIterable>(_: Word.Type = Word.self) throws -> Word where Word.RawValue == String {
        guard case .text(let text) = value, let word = Word(rawValue: text) else {
            throw refusal(expected: "one of \(Word.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        return word
    }

    /// A relative path of plain names: letters, digits and ._+- ; no .. and no leading /.
    func plainPath() throws -> String {
        let path = try text()
        let isPlain = path.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            guard let first = part.utf8.first, first.isLetterOrDigit || first == UInt8(ascii: "_") else { return false }
            return part.utf8.allSatisfy { $0.isLetterOrDigit || "._+-".utf8.contains($0) }
        }
        guard isPlain else { throw refusal(expected: "a relative path of plain names") }
        return path
    }

    func sha256() throws -> String {
        let digits = try text()
        guard digits.utf8.count == 64, digits.utf8.allSatisfy({ "0123456789abcdef".utf8.contains($0) }) else {
            throw refusal(expected: "64 small hexadecimal digits")
        }
        return digits
    }
}

extension UInt8 {
    fileprivate var isLetterOrDigit: Bool {
        switch self {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
        default: false
        }
    }
}
