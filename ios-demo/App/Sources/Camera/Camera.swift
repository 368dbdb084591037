import AVFoundation
import DemoLogic

/// The back camera. AVFoundation's objects stay on this actor, which runs on a queue of its own: starting a session blocks for a good part of a second.
actor Camera: CameraSource {
    nonisolated let preview: CameraPreview.Source
    private let queue = DispatchSerialQueue(label: "edgekit.demo.camera")
    private let session: AVCaptureSession
    private let photos = AVCapturePhotoOutput()
    private let video = AVCaptureVideoDataOutput()
    private var rotation: AVCaptureDevice.RotationCoordinator?
    private var frames: FrameReceiver?
    private var observers: [any NSObjectProtocol] = []
    private var takers: [Int64: PhotoTaker] = [:]

    nonisolated var unownedExecutor: UnownedSerialExecutor { queue.asUnownedSerialExecutor() }

    init() {
        let session = AVCaptureSession()
        self.session = session
        preview = CameraPreview.Source(session)
    }

    func start(_ receive: @escaping @Sendable (CameraEvent) -> Void) async throws {
        guard await AVCaptureDevice.requestAccess(for: .video) else { throw Problem.cameraDenied }
        if rotation == nil { try connect() }
        let frames = FrameReceiver { receive(.frame($0)) }
        video.setSampleBufferDelegate(frames, queue: frames.queue)
        self.frames = frames
        observe(AVCaptureSession.wasInterruptedNotification) { receive(.interrupted) }
        observe(AVCaptureSession.interruptionEndedNotification) { receive(.resumed) }
        session.startRunning()
        if !session.isRunning { throw Problem.cameraBusy }
    }

    func stop() {
        session.stopRunning()
        video.setSampleBufferDelegate(nil, queue: nil)
        frames = nil
        for observer in observers { NotificationCenter.default.removeObserver(observer) }
        observers = []
    }

    func capture() async throws -> Data {
        guard session.isRunning, let connection = photos.connection(with: .video) else { throw Problem.cameraBusy }
        if let angle = rotation?.videoRotationAngleForHorizonLevelCapture, connection.isVideoRotationAngleSupported(angle) {
            connection.videoRotationAngle = angle
        }
        let settings = AVCapturePhotoSettings()
        let taker = PhotoTaker()
        let number = settings.uniqueID
        takers[number] = taker  // the output does not keep its delegate
        defer { takers[number] = nil }
        photos.capturePhoto(with: settings, delegate: taker)
        return try await taker.photo()
    }

    private func connect() throws {
        guard let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .back) else { throw Problem.noCamera }
        guard let input = try? AVCaptureDeviceInput(device: device) else { throw Problem.cameraBusy }
        session.beginConfiguration()
        defer { session.commitConfiguration() }
        session.sessionPreset = .photo
        guard session.canAddInput(input), session.canAddOutput(photos) else { throw Problem.cameraBusy }
        session.addInput(input)
        session.addOutput(photos)
        guard session.canAddOutput(video) else { throw Problem.cameraBusy }
        session.addOutput(video)
        video.videoSettings = [kCVPixelBufferPixelFormatTypeKey as String: kCVPixelFormatType_420YpCbCr8BiPlanarFullRange]
        video.alwaysDiscardsLateVideoFrames = true
        if let connection = video.connection(with: .video), connection.isVideoRotationAngleSupported(90) {
            connection.videoRotationAngle = 90  // the screens are portrait only
        }
        rotation = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: nil)
    }

    private func observe(_ name: Notification.Name, _ act: @escaping @Sendable () -> Void) {
        observers.append(NotificationCenter.default.addObserver(forName: name, object: session, queue: nil) { _ in act() })
    }
}
