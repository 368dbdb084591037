/// A JSON value as it stands in a file.
enum Json: Equatable, Sendable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case list([Json])
    case object([String: Json])
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
