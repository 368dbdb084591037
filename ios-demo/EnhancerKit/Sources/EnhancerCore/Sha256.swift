import Foundation

/// SHA-256 (FIPS 180-4), fed piece by piece.
public struct Sha256: Sendable {
    public init() {}

    public mutating func update(_ bytes: UnsafeRawBufferPointer) { fatalError("to be filled in") }

    /// 64 small hexadecimal digits.
    public func digest() -> String { fatalError("to be filled in") }

    /// Of a file: its bytes. Of a folder (.mlpackage): the lines "path NUL sha256 LF", one per file, sorted by the path's bytes. Throws
    /// `EnhancerError.invalidFile` for links and for what cannot be read.
    public static func of(_ file: URL) throws -> String { fatalError("to be filled in") }
}
