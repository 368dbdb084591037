package edgekit.demo.logic

import edgekit.core.Orientation

object Turning {
    /**
     * How a camera's frames must be turned to stand upright on the screen. `sensor`: degrees that the sensor is mounted clockwise from the phone's natural
     * position; `display`: degrees that the screen's content is turned from it. Pictures of a front camera are mirrored, as people expect of themselves.
     */
    fun ofCamera(
        sensor: Int,
        display: Int,
        isFront: Boolean,
    ): Orientation = if (isFront) Orientation((sensor + display) % 360, mirror = true) else Orientation((sensor - display + 360) % 360)

    /** For CaptureRequest.JPEG_ORIENTATION: a saved picture is not mirrored. */
    fun ofJpeg(
        sensor: Int,
        display: Int,
        isFront: Boolean,
    ): Int = ofCamera(sensor, display, isFront).degrees

    /** EXIF's eight orientations (TIFF 6.0, tag 274) as a turn clockwise and then, maybe, a mirroring left-right. Others count as upright. */
    fun ofExif(tag: Int): Orientation =
        when (tag) {
            2 -> Orientation(0, mirror = true)
            3 -> Orientation(180)
            4 -> Orientation(180, mirror = true)
            5 -> Orientation(90, mirror = true)
            6 -> Orientation(90)
            7 -> Orientation(270, mirror = true)
            8 -> Orientation(270)
            else -> Orientation.UPRIGHT
        }
}
