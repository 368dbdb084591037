import Foundation

/// A JSON value as it stands in a file.
enum Json: Decodable, Equatable, Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([Json])
    case object([String: Json])

    /// Levels of objects and lists. A real manifest has nine; a phone's stack is small.
    static let deepest = 64

    /// Throws `EnhancerError.invalidManifest`.
    static func parse(_ data: Data, name: String) throws -> Json {
        guard depth(data) <= deepest else {
            throw EnhancerError.invalidManifest("\(name): is nested deeper than \(deepest) levels; expected what edgekit wrote")
        }
        do {
            return try JSONDecoder().decode(Json.self, from: data)
        } catch {
            throw EnhancerError.invalidManifest("\(name): is not JSON; expected what edgekit wrote: export the bundle again")
        }
    }

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {
            self = .bool(bool)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let list = try? value.decode([Json].self) {
            self = .list(list)
        } else {
            self = .object(try value.decode([String: Json].self))
        }
    }

    /// Counted on the bytes, before anything recursive sees them.
    private static func depth(_ data: Data) -> Int {
        var depth = 0
        var greatest = 0
        var isText = false
        var isEscaped = false
        for byte in data {
            if isText {
                if isEscaped {
                    isEscaped = false
                } else if byte == UInt8(ascii: "\\") {
                    isEscaped = true
                } else if byte == UInt8(ascii: "\"") {
                    isText = false
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\""): isText = true
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                greatest = max(greatest, depth)
            case UInt8(ascii: "}"), UInt8(ascii: "]"): depth -= 1
            default: break
            }
        }
        return greatest
    }
}

extension Json: CustomStringConvertible {
    /// For messages: short, on one line.
    var description: String {
        switch self {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .number(let value): Int(exactly: value).map(String.init) ?? "\(value)"
        case .text(let value): "'\(value.oneLine(60))'"
        case .list(let values): "a list of \(values.count)"
        case .object: "an object"
        }
    }
}

extension String {
    /// Without control and format characters, cut off after `most` Unicode scalars.
    func oneLine(_ most: Int) -> String {
        let invisible: Set<Unicode.GeneralCategory> = [.control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned]
        var line = String.UnicodeScalarView()
        for scalar in unicodeScalars.prefix(most) {
            line.append(invisible.contains(scalar.properties.generalCategory) ? " " : scalar)
        }
        return String(line)
    }
}
