/// How large a picture may be, so that enhancing and showing it stays within the memory that is left.
struct MemoryBound: Equatable {
    /// Bytes that can still be allocated.
    var available: Int
    var scale: Int

    /// Pictures below this are not worth enhancing: with less memory the app says so instead.
    static let smallestSide = 256

    /// A pixel of the source: 4 bytes decoded, 3 as RGB and 3 for the screen; of the result: 3 as RGB, 3 and 4 on the screen, 3 and 4 while it is saved.
    var bytesAPixel: Int { 10 + 17 * scale * scale }

    /// The longest side that a picture of these sides may have, at most its own: half of what is left must do. Throws Problem.lowMemory.
    func longestSide(of size: PictureSize) throws -> Int {
        let longest = max(size.height, size.width)
        let pixels = Double(size.height) * Double(size.width)
        let affordable = Double(max(available, 0)) / 2 / Double(bytesAPixel)
        let side = pixels <= affordable ? longest : Int(Double(longest) * (affordable / pixels).squareRoot())
        guard side >= min(longest, Self.smallestSide) else { throw Problem.lowMemory }
        return side
    }
}
