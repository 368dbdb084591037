import XCTest

@testable import EnhancerCore

final class Sha256Tests: XCTestCase {
    private func digest(_ bytes: some Sequence<UInt8>) -> String {
        var sha = Sha256()
        sha.update(bytes)
        return sha.digest()
    }

    /// FIPS 180-2, appendix B, and the empty text.
    func testPublishedVectors() {
        XCTAssertEqual(digest([]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        XCTAssertEqual(digest("abc".utf8), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let twoBlocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"
        XCTAssertEqual(digest(twoBlocks.utf8), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        let million = repeatElement(UInt8(ascii: "a"), count: 1_000_000)
        XCTAssertEqual(digest(million), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    /// Every length around a block's end. The digest of the digests is hashlib's.
    func testLengths() {
        let all = (0..<200).map { digest([UInt8](repeating: UInt8($0), count: $0)) }.joined()
        XCTAssertEqual(digest(all.utf8), "c86ce814ed1233ab1d4b273da1b6b13765cd39e72e81ce941452479e70ff1b10")
    }

    func testPieces() {
        var random = Seeded(seed: 2)
        let bytes = random.bytes(5000)
        let whole = digest(bytes)
        for _ in 0..<20 {
            var sha = Sha256()
            var rest = bytes[...]
            while !rest.isEmpty {
                let piece = rest.prefix(.random(in: 0...200, using: &random))
                sha.update(piece)
                rest = rest.dropFirst(piece.count)
            }
            XCTAssertEqual(sha.digest(), whole)
        }
    }

    func testFilesAndFolders() throws {
        let folder = try Fixtures.scratch(self)
        let package = folder.appendingPathComponent("a.mlpackage")
        // By bytes, "Data.x" stands before "Data/": the order is that of whole paths, not of folders.
        let files = ["Manifest.json": "{}", "Data/b.bin": "b", "Data/A/c.bin": "", "Data.x": "x", "é.bin": "e"]
        for (name, text) in files {
            let file = package.appendingPathComponent(name)
            try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        XCTAssertEqual(try FileDigest(of: package), FileDigest(bytes: 5, sha256: "fbe5f0a3d990ad395f873cf0d340a95da45c539d64da1cbb5d50cdd1a20e0be4"))
        XCTAssertEqual(try FileDigest(of: package.appendingPathComponent("Data/b.bin")), FileDigest(bytes: 1, sha256: digest("b".utf8)))
        XCTAssertThrowsError(try FileDigest(of: folder.appendingPathComponent("missing"))) { XCTAssert("\($0)".contains("missing"), "\($0)") }
        let link = package.appendingPathComponent("link")
        try FileManager.default.createSymbolicLink(at: link, withDestinationURL: package.appendingPathComponent("Manifest.json"))
        for linked in [link, package] {
            XCTAssertThrowsError(try FileDigest(of: linked)) { XCTAssert("\($0)".contains("link"), "\($0)") }
        }
    }
}
