import CoreGraphics
import DemoLogic
import EnhancerCore
import Foundation
import ImageIO
import UIKit

/// Encoded pictures (JPEG, HEIF, PNG ...) to RGB bytes, upright and in sRGB, and back.
enum PictureFile {
    /// The upright sides, without decoding. Throws Problem.
    static func size(of file: Data) throws -> PictureSize {
        guard let source = CGImageSourceCreateWithData(file as CFData, nil),
            let properties = CGImageSourceCopyPropertiesAtIndex(source, 0, nil) as? [String: Any],
            let height = properties[kCGImagePropertyPixelHeight as String] as? Int,
            let width = properties[kCGImagePropertyPixelWidth as String] as? Int,
            height > 0, width > 0
        else { throw Problem.unreadablePicture }
        let orientation = properties[kCGImagePropertyOrientation as String] as? Int ?? 1
        return (5...8).contains(orientation) ? PictureSize(height: width, width: height) : PictureSize(height: height, width: width)
    }

    /// Turned upright as its orientation tag says, and scaled down if a side is longer than `longestSide`. Throws Problem.
    static func decode(_ file: Data, longestSide: Int) throws -> RgbPicture {
        let options: [String: Any] = [
            kCGImageSourceCreateThumbnailFromImageAlways as String: true,
            kCGImageSourceCreateThumbnailWithTransform as String: true,
            kCGImageSourceThumbnailMaxPixelSize as String: longestSide,
        ]
        guard let source = CGImageSourceCreateWithData(file as CFData, nil),
            let image = CGImageSourceCreateThumbnailAtIndex(source, 0, options as CFDictionary)
        else { throw Problem.unreadablePicture }
        return try pixels(of: image)
    }

    /// JPEG. Throws Problem.
    static func encode(_ picture: RgbPicture) throws -> Data {
        guard let image = image(of: picture), let file = UIImage(cgImage: image).jpegData(compressionQuality: 0.95) else { throw Problem.lowMemory }
        return file
    }

    /// For the screen and for files; the bytes are tagged sRGB. Nil without memory.
    static func image(of picture: RgbPicture) -> CGImage? {
        guard let space = CGColorSpace(name: CGColorSpace.sRGB), let provider = CGDataProvider(data: Data(picture.rgb) as CFData) else { return nil }
        return CGImage(
            width: picture.width, height: picture.height, bitsPerComponent: 8, bitsPerPixel: 24, bytesPerRow: 3 * picture.width, space: space,
            bitmapInfo: CGBitmapInfo(rawValue: CGImageAlphaInfo.none.rawValue), provider: provider, decode: nil, shouldInterpolate: true,
            intent: .defaultIntent)
    }

    private static func pixels(of image: CGImage) throws -> RgbPicture {
        let (height, width) = (image.height, image.width)
        guard let space = CGColorSpace(name: CGColorSpace.sRGB),
            let context = CGContext(
                data: nil, width: width, height: height, bitsPerComponent: 8, bytesPerRow: 4 * width, space: space,
                bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
        else { throw Problem.lowMemory }
        context.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
        guard let data = context.data else { throw Problem.lowMemory }
        let rgbx = UnsafeRawBufferPointer(start: data, count: 4 * width * height)
        let rgb = [UInt8](unsafeUninitializedCapacity: 3 * width * height) { rgb, count in
            for pixel in 0..<width * height {
                for channel in 0..<3 { rgb[3 * pixel + channel] = rgbx[4 * pixel + channel] }
            }
            count = 3 * width * height
        }
        return try RgbPicture(height: height, width: width, rgb: rgb)
    }
}
