import Testing

@testable import DemoLogic

struct MemoryBoundTests {
    @Test func aPictureThatFitsKeepsItsSides() throws {
        let bound = MemoryBound(available: 2_000_000_000, scale: 2)
        #expect(try bound.longestSide(of: PictureSize(height: 3024, width: 4032)) == 4032)
    }

    /// 1 GB: half of it, at 78 bytes a pixel, is 6.4 million pixels.
    @Test func aLargerOneIsScaledDownToHalfOfWhatIsLeft() throws {
        let bound = MemoryBound(available: 1_000_000_000, scale: 2)
        let side = try bound.longestSide(of: PictureSize(height: 6048, width: 8064))
        #expect(side == 2923)
        let pixels = Double(side) * Double(side) * 0.75
        #expect(pixels * Double(bound.bytesAPixel) <= 500_000_000)
        #expect(pixels * Double(bound.bytesAPixel) > 499_000_000)
    }

    @Test func tooLittleForAnyPicture() {
        for available in [0, -1, 1_000_000] {
            #expect(throws: Problem.lowMemory) { try MemoryBound(available: available, scale: 2).longestSide(of: PictureSize(height: 3000, width: 4000)) }
        }
    }

    @Test func smallPicturesNeedNoMinimum() throws {
        #expect(try MemoryBound(available: 10_000_000, scale: 2).longestSide(of: PictureSize(height: 10, width: 12)) == 12)
    }

    @Test func aLargerScaleCostsMore() {
        #expect(MemoryBound(available: 0, scale: 2).bytesAPixel == 78)
        #expect(MemoryBound(available: 0, scale: 4).bytesAPixel == 282)
    }
}
