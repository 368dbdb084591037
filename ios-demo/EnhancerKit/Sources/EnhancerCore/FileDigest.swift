import Foundation

/// How many bytes a file has and their SHA-256. Of a folder (.mlpackage): all files' bytes, and the digest of the lines "path NUL sha256 LF", one per file,
/// sorted by the path's bytes, paths relative with /.
public struct FileDigest: Equatable, Sendable {
    public let bytes: Int
    public let sha256: String
}

extension FileDigest {
    /// Throws `EnhancerError.invalidFile` for what is missing or cannot be read, for links and other special files.
    public init(of url: URL) throws {
        guard try Self.kind(url) == .typeDirectory else {
            (bytes, sha256) = try Self.file(url)
            return
        }
        var size = 0
        var digest = Sha256()
        for path in try Self.files(below: url, as: "").sorted(by: { $0.utf8.lexicographicallyPrecedes($1.utf8) }) {
            let file = try Self.file(url.appendingPathComponent(path))
            size += file.bytes
            digest.update("\(path)\0\(file.sha256)\n".utf8)
        }
        (bytes, sha256) = (size, digest.digest())
    }

    private static func files(below folder: URL, as path: String) throws -> [String] {
        do {
            return try FileManager.default.contentsOfDirectory(atPath: folder.path).flatMap { name in
                let inner = folder.appendingPathComponent(name)
                return try kind(inner) == .typeDirectory ? files(below: inner, as: "\(path)\(name)/") : ["\(path)\(name)"]
            }
        } catch let error as EnhancerError {
            throw error
        } catch {
            throw unreadable(folder)
        }
    }

    private static func file(_ url: URL) throws -> (bytes: Int, sha256: String) {
        guard try kind(url) == .typeRegular else {
            throw EnhancerError.invalidFile("\(url.lastPathComponent): is a link or a special file; expected a plain file")
        }
        var size = 0
        var digest = Sha256()
        do {
            let handle = try FileHandle(forReadingFrom: url)
            defer { try? handle.close() }
            while let piece = try handle.read(upToCount: 1 << 20), !piece.isEmpty {
                size += piece.count
                piece.withUnsafeBytes { digest.update($0) }
            }
        } catch {
            throw unreadable(url)
        }
        return (size, digest.digest())
    }

    /// Links are not followed.
    private static func kind(_ url: URL) throws -> FileAttributeType? {
        guard let attributes = try? FileManager.default.attributesOfItem(atPath: url.path) else { throw unreadable(url) }
        return attributes[.type] as? FileAttributeType
    }

    private static func unreadable(_ url: URL) -> EnhancerError {
        .invalidFile("\(url.lastPathComponent): is missing or cannot be read; expected a whole bundle: copy it again with `edgekit bundle`")
    }
}
