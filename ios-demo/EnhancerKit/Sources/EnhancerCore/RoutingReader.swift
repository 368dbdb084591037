extension Routing {
    private enum Score: String, CaseIterable { case energy = "laplacian-energy" }

    /// The manifest's `routing`, nil if no file is a variant; the artifacts' variants fit it.
    static func read(_ top: JsonField, _ image: ImageContract, _ artifacts: [Artifact]) throws -> Routing? {
        let field = try top.key("routing")
        let routing = field.isAbsent ? nil : try Routing(field)
        for (field, artifact) in zip(try top.key("artifacts").list(), artifacts) {
            let names = routing?.variants ?? []
            guard artifact.variant.map(names.contains) ?? (routing == nil) else {
                throw try field.key("variant").refusal(expected: routing == nil ? "none, as there is no routing" : "one of \(names.joined(separator: ", "))")
            }
        }
        guard let routing else { return nil }
        guard image.tiling == .exact else { throw field.refusal(expected: "none: the network sees the whole picture") }
        let families = Dictionary(grouping: artifacts) { "\($0.backend) \($0.recipe)" }
        for (family, files) in families.sorted(by: { $0.key < $1.key }) {
            let made = files.compactMap(\.variant)
            guard made.sorted() == routing.variants.sorted() else {
                let wanted = routing.variants.joined(separator: ", ")
                throw try top.key("artifacts").refusal(
                    expected: "of \(family) one file of each of the variants \(wanted), not \(made.joined(separator: ", "))")
            }
        }
        return routing
    }

    private init(_ field: JsonField) throws {
        _ = try field.key("score").word(Score.self)
        unit = try field.key("unit").word()
        let names = try field.key("variants")
        variants = try names.list(2...Int.max).map { try $0.key("name").smallWord() }
        guard Set(variants).count == variants.count else { throw names.refusal(expected: "each variant once") }
        let bounds = try field.key("thresholds")
        thresholds = try bounds.list((variants.count - 1)...(variants.count - 1)).map { try $0.whole(atLeast: 0) }
        guard zip(thresholds, thresholds.dropFirst()).allSatisfy({ $0 < $1 }) else { throw bounds.refusal(expected: "rising numbers, not \(thresholds)") }
    }
}

extension JsonField {
    /// 1 to 32 small letters and digits.
    fileprivate func smallWord() throws -> String {
        let word = try text()
        let known = "abcdefghijklmnopqrstuvwxyz0123456789".utf8
        guard (1...32).contains(word.utf8.count), word.utf8.allSatisfy(known.contains) else { throw refusal(expected: "1 to 32 small letters and digits") }
        return word
    }
}
