package edgekit.core

import java.util.concurrent.CancellationException

/**
 * Enhances pictures of any size with a model file of fixed input size, one row of tiles at a time: memory is bounded by the picture's width. Keeps its buffers:
 * one tensor in, one out, one band of rows in and one out. One call at a time, from the [Enhancer]'s thread; it stays the caller's to close.
 * Raises [InvalidManifest] for tensors that [PixelCodec] cannot convert.
 */
class PictureEnhancer private constructor(
    private val chooserFor: (PictureSource) -> TileChooser,
    artifact: Artifact,
    private val image: ImageContract,
) {
    constructor(enhancer: Enhancer, artifact: Artifact, image: ImageContract) : this({ TileChooser { _, _, _ -> enhancer } }, artifact, image)

    /** Each tile or picture to the variant that the bundle's rule names; `artifact` is any of the variants', as all have the same input and output. */
    constructor(variants: Variants, artifact: Artifact, image: ImageContract) : this(variants::chooserFor, artifact, image)

    fun interface Progress {
        /** After each tile. What it throws ends the work (a coroutine's ensureActive() does). */
        fun tileDone(
            done: Int,
            total: Int,
        )
    }

    private val input = PixelCodec(artifact.input, image.input)
    private val output = PixelCodec(artifact.output, image.output)
    private var read = ByteArray(0)
    private var written = ByteArray(0)

    /** Bytes of the buffers for a picture of this width; those of the source, the sink and the runtime come on top. */
    fun workingBytes(width: Int): Long = 2L * (input.buffer.capacity() + output.buffer.capacity()) + readBytes(width) + writtenBytes(width)

    /**
     * Gives `sink` the enhanced `source`, `scale` times as high and wide, top to bottom. `cancelled` is asked before each tile.
     *
     * Raises [ModelFailed] if the model cannot run or gives values that are not finite, [EnhancerException] for a size that this model cannot take,
     * CancellationException (java.util.concurrent, which is that of coroutines) if cancelled.
     */
    fun enhance(
        source: PictureSource,
        sink: PictureSink,
        cancelled: () -> Boolean = { false },
        progress: Progress = Progress { _, _ -> },
    ) {
        val plan = plan(source)
        val columns = Array(plan.columns) { column -> plan.sourceColumns(column).times3() }
        val chooser = chooserFor(source)
        for (row in 0 until plan.rows) {
            val rows = readRows(source, plan.sourceRows(row))
            for (column in 0 until plan.columns) {
                if (cancelled()) throw CancellationException("cancelled after ${row * plan.columns + column} of ${plan.size} tiles")
                input.encode(read, rows, columns[column])
                chooser.enhancerFor(read, rows, columns[column]).run(input.buffer, output.buffer)
                paste(plan.tile(row, column), source.width)
                progress.tileDone(row * plan.columns + column + 1, plan.size)
            }
            val core = plan.tile(row, 0)
            sink.writeRows(core.y * image.scale, core.height * image.scale, written)
        }
    }

    private fun plan(source: PictureSource): TilePlan {
        val size = "${source.height}x${source.width}"
        if (image.tiling == Tiling.WHOLE && (source.height != image.tileHeight || source.width != image.tileWidth)) {
            throw EnhancerException("picture is $size; expected ${image.tileHeight}x${image.tileWidth}: this model sees the whole picture and cannot be tiled")
        }
        if (maxOf(readBytes(source.width), writtenBytes(source.width)) > Int.MAX_VALUE) throw EnhancerException("picture is $size; expected a narrower one")
        if (read.size < readBytes(source.width)) read = ByteArray(readBytes(source.width).toInt())
        if (written.size < writtenBytes(source.width)) written = ByteArray(writtenBytes(source.width).toInt())
        // A whole picture is one tile without anything around it.
        val halo = if (image.tiling == Tiling.WHOLE) 0 else image.halo
        return TilePlan(source.height, source.width, image.tileHeight, image.tileWidth, halo, image.multipleOf)
    }

    private fun readBytes(width: Int): Long = 3L * image.tileHeight * width

    private fun writtenBytes(width: Int): Long {
        val rows = if (image.tiling == Tiling.WHOLE) image.tileHeight else image.tileHeight - 2 * image.halo
        return 3L * rows * image.scale * width * image.scale
    }

    /** Reads each picture row once; returns where in `read` each row of the tiles starts. */
    private fun readRows(
        source: PictureSource,
        rows: IntArray,
    ): IntArray {
        val top = rows.min()
        for (y in top..rows.max()) source.readRow(y, read, (y - top) * source.width * 3)
        return IntArray(rows.size) { (rows[it] - top) * source.width * 3 }
    }

    private fun paste(
        tile: Tile,
        width: Int,
    ) {
        val scale = image.scale
        val inner = if (image.tiling == Tiling.WHOLE) 0 else image.halo * scale
        val core = PixelRect(inner, inner, tile.height * scale, tile.width * scale)
        val isFinite = output.decode(core, written, tile.x * scale * 3, width * scale * 3)
        if (!isFinite) throw ModelFailed("the model gave values that are not finite for the tile at row ${tile.y}, column ${tile.x}; expected numbers")
    }

    private fun IntArray.times3() = IntArray(size) { 3 * this[it] }
}
