/** Checks a bundle and its golden vectors on the JVM, whose ImageIO decodes the photos. */
import java.io.File
import java.nio.*
import java.time.Instant
import javax.imageio.ImageIO
import kotlin.math.*
import org.json.*

/** Checks a bundle and its golden vectors: FOLDER_OF_MODEL PUBLIC_KEY [CLIENT]. */
fun main(arguments: Array<String>) {
    val store = File(arguments[0]); val now = Instant.now()
    val next = judgePointer(File(store, "current.json").readBytes(), listOf(arguments[1]), null, store.name, arguments.getOrElse(2) { "" }, now)
    val folder = File(store, next.release.version.toString())
    checkBundle(folder, next, now)
    val contract = JSONObject(File(folder, "preprocessing.json").readText()); val golden = JSONObject(File(folder, "golden/golden.json").readText())
    val raw = ByteBuffer.wrap(File(folder, "golden/tensors.bin").readBytes()).order(ByteOrder.LITTLE_ENDIAN)
    val tolerance = golden.getJSONObject("tolerance"); var values = 0; var close = 0
    val examples = golden.getJSONArray("examples").objects()
    for (example in examples) {
        val tensor = when (golden.getString("kind")) {
            "image" -> File(folder, "golden/${example.getString("file")}").let { file ->
                val raster = ImageIO.read(file).raster // its getRGB would change the levels of a grey photo
                val pixels = Array(raster.height) { y -> IntArray(raster.width) { x ->
                    (0..2).fold(0) { rgb, band -> rgb shl 8 or raster.getSample(x, y, min(band, raster.numBands - 1)) } } }
                preprocessPhoto(turn(pixels, readOrientation(file.readBytes())), contract)
            }
            "row" -> example.getJSONObject("content").let { row ->
                val cells = row.keys().asSequence().associate { name -> name as String to (row.optJSONArray(name)?.texts() ?: listOf(row.getString(name))) }
                check(!example.has("unlike_input") || abs(measureUnlike(cells, contract) - example.getDouble("unlike_input")) <= 1e-4) { "unlike differs" }
                preprocessRow(cells, contract)
            }
            else -> preprocessText(example.getString("content"), contract)
        }
        val expected = tensor.indices.map { when (golden.getString("dtype")) { "uint8" -> (raw.get().toInt() and 255).toFloat(); "int32" -> raw.getInt().toFloat(); else -> raw.getFloat() } }
        check(tensor.indices.all { abs(tensor[it] - expected[it]) <= tolerance.getDouble("most") }) { "a value differs by too much" }
        values += tensor.size
        close += tensor.indices.count { abs(tensor[it] - expected[it]) <= tolerance.getDouble("step") }
    }
    check(close >= tolerance.getDouble("share") * values - 1e-6) { "$close of $values values are close" }
    println("${examples.size} golden vectors: $close of $values values are close")
}
