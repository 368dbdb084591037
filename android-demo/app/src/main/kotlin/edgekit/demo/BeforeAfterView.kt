package edgekit.demo

import android.annotation.SuppressLint
import android.content.Context
import android.graphics.Bitmap
import android.graphics.Canvas
import android.graphics.Paint
import android.graphics.Rect
import android.graphics.RectF
import android.util.AttributeSet
import android.view.MotionEvent
import android.view.View
import android.view.ViewConfiguration
import kotlin.math.abs

/** The picture before and after in one place, divided by an upright line that a finger or a slider moves. A tap shows single pixels there, another one the whole. */
class BeforeAfterView(
    context: Context,
    attributes: AttributeSet?,
) : View(context, attributes) {
    private class Pair(
        val before: Bitmap,
        val after: Bitmap,
    )

    /** Full size: only parts and small copies of it are drawn, a canvas refuses bitmaps of more than 100 MB. */
    private var full: Pair? = null
    private var drawn: Pair? = null
    private var closeUp: PointInPicture? = null

    private class PointInPicture(
        val y: Float,
        val x: Float,
    )

    /** Where the line stands: 0 at the left edge of the picture, 1 at its right edge. */
    var divider: Float = 0.5f
        set(value) {
            field = value.coerceIn(0f, 1f)
            invalidate()
        }

    /** Hears when a finger has moved the line. */
    var dividerMoved: (Float) -> Unit = {}

    private val paint = Paint(Paint.FILTER_BITMAP_FLAG)
    private val line =
        Paint().apply {
            color = 0xFFFFFFFF.toInt()
            strokeWidth = 2 * resources.displayMetrics.density
        }
    private val place = RectF()
    private val touchSlop = ViewConfiguration.get(context).scaledTouchSlop
    private var downX = 0f
    private var downY = 0f
    private var isDragging = false

    /** Keeps both until the next call; null clears. */
    fun show(
        before: Bitmap?,
        after: Bitmap?,
    ) {
        full = if (before != null && after != null) Pair(before, after) else null
        closeUp = null
        prepare()
    }

    override fun onSizeChanged(
        width: Int,
        height: Int,
        oldWidth: Int,
        oldHeight: Int,
    ) = prepare()

    private fun prepare() {
        val pictures = full
        drawn = if (pictures == null || width == 0 || height == 0) null else closeUp?.let { cut(pictures, it) } ?: small(pictures)
        drawn?.let { fit(it.after) }
        invalidate()
    }

    private fun small(pictures: Pair): Pair {
        val shrink = minOf(1f, width.toFloat() / pictures.after.width, height.toFloat() / pictures.after.height)
        val shownWidth = maxOf(1, (pictures.after.width * shrink).toInt())
        val shownHeight = maxOf(1, (pictures.after.height * shrink).toInt())
        return Pair(scaled(pictures.before, shownHeight, shownWidth), scaled(pictures.after, shownHeight, shownWidth))
    }

    /** Large pictures become small ones; small ones are enlarged when they are drawn. */
    private fun scaled(
        picture: Bitmap,
        height: Int,
        width: Int,
    ) = if (picture.width > width) Bitmap.createScaledBitmap(picture, width, height, true) else picture

    /** The part around `at` in which a pixel of the result is two on the screen. */
    private fun cut(
        pictures: Pair,
        at: PointInPicture,
    ): Pair {
        val after = part(pictures.after, at, maxOf(1, height / ENLARGED), maxOf(1, width / ENLARGED))
        val scale = pictures.after.width.toFloat() / pictures.before.width
        val before = Rect((after.left / scale).toInt(), (after.top / scale).toInt(), (after.right / scale).toInt(), (after.bottom / scale).toInt())
        before.right = maxOf(before.right, before.left + 1)
        before.bottom = maxOf(before.bottom, before.top + 1)
        return Pair(copy(pictures.before, before), copy(pictures.after, after))
    }

    private fun part(
        picture: Bitmap,
        at: PointInPicture,
        mostHeight: Int,
        mostWidth: Int,
    ): Rect {
        val partHeight = minOf(mostHeight, picture.height)
        val partWidth = minOf(mostWidth, picture.width)
        val top = (at.y * picture.height - partHeight / 2f).toInt().coerceIn(0, picture.height - partHeight)
        val left = (at.x * picture.width - partWidth / 2f).toInt().coerceIn(0, picture.width - partWidth)
        return Rect(left, top, left + partWidth, top + partHeight)
    }

    private fun copy(
        picture: Bitmap,
        part: Rect,
    ) = Bitmap.createBitmap(picture, part.left, part.top, part.width(), part.height())

    private fun fit(picture: Bitmap) {
        val scale = minOf(width.toFloat() / picture.width, height.toFloat() / picture.height)
        val left = (width - picture.width * scale) / 2
        val top = (height - picture.height * scale) / 2
        place.set(left, top, left + picture.width * scale, top + picture.height * scale)
    }

    override fun onDraw(canvas: Canvas) {
        super.onDraw(canvas)
        val pictures = drawn ?: return
        val x = place.left + divider * place.width()
        half(canvas, pictures.before, place.left, x)
        half(canvas, pictures.after, x, place.right)
        canvas.drawLine(x, place.top, x, place.bottom, line)
    }

    private fun half(
        canvas: Canvas,
        picture: Bitmap,
        left: Float,
        right: Float,
    ) {
        canvas.save()
        canvas.clipRect(left, place.top, right, place.bottom)
        canvas.drawBitmap(picture, null, place, paint)
        canvas.restore()
    }

    @SuppressLint("ClickableViewAccessibility") // A slider and performClick do the same without a finger.
    override fun onTouchEvent(event: MotionEvent): Boolean {
        if (drawn == null) return false
        when (event.actionMasked) {
            MotionEvent.ACTION_DOWN -> {
                downX = event.x
                downY = event.y
                isDragging = false
            }
            MotionEvent.ACTION_MOVE -> {
                isDragging = isDragging || abs(event.x - downX) > touchSlop
                if (isDragging) {
                    divider = (event.x - place.left) / place.width()
                    dividerMoved(divider)
                }
            }
            MotionEvent.ACTION_UP -> if (!isDragging) performClick()
        }
        return true
    }

    override fun performClick(): Boolean {
        super.performClick()
        val at = PointInPicture((downY - place.top) / place.height(), (downX - place.left) / place.width())
        closeUp = if (closeUp == null) at else null
        prepare()
        return true
    }

    private companion object {
        const val ENLARGED = 2
    }
}
