public enum RoutingUnit: String, CaseIterable, Codable, Sendable {
    case tile, picture
}

/// The rule of a bundle with variants, lightest first: what scores below the first threshold is for the first variant, and so on; what is not below any is for the
/// last. `unit` is what is scored.
public struct Routing: Equatable, Sendable {
    public var unit: RoutingUnit
    public var thresholds: [Int]
    public var variants: [String]

    public func variant(of score: Int) -> String {
        variants[thresholds.count(where: { $0 <= score })]
    }
}

/// The opened files of a bundle's variants, by name, and the rule that chooses among them; the files stay the caller's to close.
public struct Variants: Sendable {
    let routing: Routing
    let enhancers: [String: any Enhancer]

    /// Throws `EnhancerError.modelFailed` if a variant's file is not among the opened ones.
    public init(_ routing: Routing, _ enhancers: [String: any Enhancer]) throws {
        guard routing.variants.allSatisfy({ enhancers[$0] != nil }) else {
            throw EnhancerError.modelFailed("opened are \(enhancers.keys.sorted()); expected a file of each of \(routing.variants)")
        }
        self.routing = routing
        self.enhancers = enhancers
    }

    func enhancer(of score: Int) -> any Enhancer {
        enhancers[routing.variant(of: score)]!
    }
}
