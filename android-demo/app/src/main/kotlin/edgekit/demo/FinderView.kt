package edgekit.demo

import android.content.Context
import android.util.AttributeSet
import android.view.SurfaceView
import edgekit.demo.logic.Size

/** The camera's own picture, as large as fits in its shape. The system turns what a camera draws on a SurfaceView. */
class FinderView(
    context: Context,
    attributes: AttributeSet?,
) : SurfaceView(context, attributes) {
    /** Wider than high, as the sensor has it; the surface's size. */
    var size: Size? = null
        set(value) {
            field = value
            if (value != null) holder.setFixedSize(value.width, value.height)
            requestLayout()
        }

    override fun onMeasure(
        widthMeasureSpec: Int,
        heightMeasureSpec: Int,
    ) {
        super.onMeasure(widthMeasureSpec, heightMeasureSpec)
        val (height, width) = size ?: return
        val isUpright = measuredHeight > measuredWidth
        val (long, short) = maxOf(height, width) to minOf(height, width)
        val aspect = if (isUpright) short.toFloat() / long else long.toFloat() / short
        if (measuredWidth > measuredHeight * aspect) {
            setMeasuredDimension((measuredHeight * aspect).toInt(), measuredHeight)
        } else {
            setMeasuredDimension(measuredWidth, (measuredWidth / aspect).toInt())
        }
    }
}
