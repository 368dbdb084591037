import EnhancerCore

/// What the app shows. One of these at a time; `DemoModel` alone changes it.
public enum Screen: Equatable, Sendable {
    /// The camera, with what `DemoModel.live` says.
    case live
    case enhancing(Work)
    case comparing(Comparison)
    case problem(Problem)
}

/// The live preview's numbers and its latest picture.
public struct Live: Equatable, Sendable {
    /// The enhanced centre; nil until the first one, and without a preview model.
    public var loupe: RgbPicture?
    /// Its sides in the camera's pixels.
    public var loupeSide = PictureSize(height: 0, width: 0)
    public var stats = FrameStats()
    /// The phone is too hot to enhance live.
    public var isPaused = false
    /// A call or another app has the camera.
    public var isInterrupted = false
    /// Why there is no live enhancement; capturing works all the same.
    public var notice: Problem?
}

/// A picture that is being enhanced. `total` is 0 while it is taken, decoded, or the model opens.
public struct Work: Equatable, Sendable {
    public var done = 0
    public var total = 0
}

/// The result beside what it was made from.
public struct Comparison: Equatable, Sendable {
    public enum Saving: Equatable, Sendable {
        case notSaved, saving, saved
    }

    /// Counts the comparisons, so that views can tell one from the next without comparing pixels.
    public let number: Int
    public let before: RgbPicture
    public let after: RgbPicture
    public var saving = Saving.notSaved

    public static func == (one: Comparison, other: Comparison) -> Bool {
        one.number == other.number && one.saving == other.saving
    }
}
