/**
 * Reads a bundle in Kotlin: signed pointer, files, and the one way from a raw input to the model's input.
 *
 * It needs Android's org.json, and Ed25519 (Java 15, Android 13). On Android, decode a photo with BitmapFactory
 * and pass its pixels; run the file with LiteRT's CompiledModel. Golden.kt checks golden vectors on the JVM.
 */
import java.io.File
import java.math.BigInteger
import java.nio.*
import java.security.*
import java.security.spec.*
import java.text.Normalizer
import java.time.*
import java.util.Base64
import kotlin.math.*
import org.json.*

const val TYPE = "application/vnd.edgeline.pointer+json"

fun sha256(content: ByteArray) = MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) }

/** Returns the pointer in current.json; compare its counter, expiry and rollbacks with what this phone has seen. */
fun readPointer(current: ByteArray, key: String): JSONObject {
    val signed = JSONObject(String(current)).getJSONObject("signed")
    val payload = Base64.getDecoder().decode(signed.getString("payload"))
    val signature = signed.getJSONArray("signatures").getJSONObject(0)
    require(signed.getString("payloadType") == TYPE && signature.getString("keyid") == key) { "another key" }
    val little = key.chunked(2).map { it.toInt(16).toByte() }.toByteArray()
    val odd = little.last() < 0
    little[31] = (little[31].toInt() and 127).toByte()
    val point = EdECPoint(odd, BigInteger(1, little.reversedArray()))
    val public = KeyFactory.getInstance("Ed25519").generatePublic(EdECPublicKeySpec(NamedParameterSpec.ED25519, point))
    val verifier = Signature.getInstance("Ed25519").apply { initVerify(public) }
    verifier.update("DSSEv1 ${TYPE.length} $TYPE ${payload.size} ".toByteArray() + payload)
    require(verifier.verify(Base64.getDecoder().decode(signature.getString("sig")))) { "the signature is not right" }
    return JSONObject(String(payload))
}

/** Returns the release that the client with this id runs: a share of them runs the candidate, by a hash of the id. */
fun chooseRelease(pointer: JSONObject, client: String): JSONObject {
    val production = pointer.getJSONObject("production"); val candidate = pointer.optJSONObject("candidate") ?: return production
    val text = "${pointer["model"]}\n${candidate["version"]}\n$client"
    val start = ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest(text.toByteArray())).getLong()
    return if (java.lang.Long.remainderUnsigned(start, 10_000) / 100.0 < candidate.getDouble("percent")) candidate else production
}

/** Returns the manifest of a release, after a check of every file of the bundle in `folder`. */
fun checkBundle(folder: File, release: JSONObject): JSONObject {
    val raw = File(folder, "manifest.json").readBytes()
    require(sha256(raw) == release.getString("manifest_sha256")) { "manifest.json was swapped" }
    val manifest = JSONObject(String(raw))
    val home = "edge/${manifest["model"]}/${manifest["version"]}/"
    for (entry in manifest.getJSONArray("files").objects()) {
        val path = entry.getString("path")
        if (path.startsWith(home)) require(sha256(File(folder, path.removePrefix(home)).readBytes()) == entry.getString("sha256")) { "$path was swapped" }
    }
    return manifest
}

/** Returns the EXIF orientation of a JPEG, 1 to 8; on Android, ExifInterface does. */
fun readOrientation(photo: ByteArray): Int {
    val start = String(photo, 0, min(photo.size, 65536), Charsets.ISO_8859_1).indexOf("Exif\u0000\u0000") + 6
    if (start < 6) return 1
    val tags = ByteBuffer.wrap(photo, start, photo.size - start).slice()
    tags.order(if (tags.get(0) == 'I'.code.toByte()) ByteOrder.LITTLE_ENDIAN else ByteOrder.BIG_ENDIAN)
    val first = tags.getInt(4)
    val entry = (0 until tags.getShort(first)).map { first + 2 + 12 * it }.find { tags.getShort(it) == 0x112.toShort() }
    return entry?.let { tags.getShort(it + 8).toInt() } ?: 1
}

/** Turns pixels upright. */
fun turn(pixels: Array<IntArray>, orientation: Int): Array<IntArray> {
    val swapped = if (orientation < 5) pixels else Array(pixels[0].size) { y -> IntArray(pixels.size) { x -> pixels[x][y] } }
    val rows = if (orientation in listOf(3, 4, 7, 8)) swapped.reversedArray() else swapped
    return if (orientation in listOf(2, 3, 6, 7)) rows.map { it.reversedArray() }.toTypedArray() else rows
}

/** Turns upright RGB pixels into [size, size, channels], 0..255: Pillow's antialiased bilinear filter, twice. */
fun preprocessPhoto(pixels: Array<IntArray>, contract: JSONObject): FloatArray {
    val side = contract.getInt("max_side"); val size = contract.getInt("image_size"); val channels = contract.getInt("channels")
    val longest = max(pixels.size, pixels[0].size)
    fun scaled(length: Int) = if (longest > side) max(1, (2 * length * side + longest) / (2 * longest)) else length
    val planes = listOf(16, 8, 0).map { shift ->
        val plane = Array(pixels.size) { y -> FloatArray(pixels[0].size) { x -> ((pixels[y][x] shr shift) and 255).toFloat() } }
        resize(plane, scaled(pixels[0].size), scaled(pixels.size), round = true)
    }
    val luma = contract.getJSONArray("luma")
    val grey = Array(planes[0].size) { y -> FloatArray(planes[0][0].size) { x ->
        (0..2).map { planes[it][y][x] * luma.getFloat(it) }.reduce { sum, part -> sum + part } } }
    val small = (if (channels == 3) planes else listOf(grey)).map { resize(it, size, size, round = false) }
    return FloatArray(size * size * channels) { at -> Math.rint(small[at % channels][at / channels / size][at / channels % size].toDouble()).toFloat().coerceIn(0f, 255f) }
}

fun resize(plane: Array<FloatArray>, width: Int, height: Int, round: Boolean): Array<FloatArray> {
    fun line(source: FloatArray, to: Int): FloatArray {
        if (round && to == source.size) return source
        val scale = source.size.toDouble() / to; val stretch = max(scale, 1.0)
        return FloatArray(to) { at ->
            val center = (at + 0.5) * scale
            val first = max(0, (center - stretch + 0.5).toInt()); val end = min(source.size, (center + stretch + 0.5).toInt())
            val weights = DoubleArray(end - first) { max(0.0, 1 - abs((it + first - center + 0.5) / stretch)) }
            val value = weights.indices.sumOf { weights[it] * source[first + it] } / weights.sum()
            (if (round) Math.floor(value + 0.5) else value).toFloat()
        }
    }
    val rows = plane.map { line(it, width) }
    val columns = Array(width) { x -> line(FloatArray(rows.size) { rows[it][x] }, height) }
    return Array(height) { y -> FloatArray(width) { columns[it][y] } }
}

/** Turns the cells of a row, or of a window of as many rows as the contract has readings, into [readings, channels]. */
fun preprocessRow(cells: Map<String, List<String>>, contract: JSONObject): FloatArray {
    val numbers = contract.getJSONArray("numbers").objects(); val clip = contract.getFloat("clip")
    val missing = contract.getJSONArray("missing").texts()
    val readings = contract.getInt("readings")
    fun column(name: String, least: Int) = cells.getValue(name).also { require(it.size == readings || it.size == least) { "$name has ${it.size} readings, not $readings" } }
    return (0 until readings).flatMap { reading ->
        val values = numbers.map { readColumn(it.getJSONObject("column"), missing) { name -> column(name, readings)[reading].trim() }.toFloat().coerceIn(it.getFloat("low"), it.getFloat("high")) }
        val scores = numbers.zip(values) { number, value -> if (value.isNaN()) 0f else ((value - number.getFloat("mean")) / number.getFloat("deviation")).coerceIn(-clip, clip) }
        val ranks = numbers.zip(values).filter { it.first.has("boundaries") }.map { (number, value) ->
            val boundaries = number.getJSONArray("boundaries")
            if (value.isNaN()) 0f else (boundaries.indices().count { value >= boundaries.getFloat(it) } * (2.0 / boundaries.length()) - 1).toFloat()
        }
        val categories = contract.getJSONArray("categories").objects().flatMap { category ->
            val at = category.getJSONArray("vocabulary").texts().indexOf(column(category.getString("name"), 1).last().trim()) + 1
            List(contract.getInt("vocabulary_size") + 1) { if (it == at) 1f else 0f }
        }
        scores + values.map { if (it.isNaN()) 1f else 0f } + ranks + categories
    }.toFloatArray()
}

fun readColumn(column: JSONObject, missing: List<String>, cell: (String) -> String): Double {
    val value = readCell(cell(column.getString("name")), column.getString("form"), missing)
    return when (column.optString("part")) {
        "age" -> (readCell(cell(column.getString("until")), column.getString("until_form"), missing) - value) / 86400
        "days" -> value / 86400
        "" -> value
        else -> if (value.isNaN()) value else LocalDateTime.ofEpochSecond(Math.floor(value).toLong(), 0, ZoneOffset.UTC).let {
            when (column.getString("part")) { "hour" -> it.hour + it.minute / 60.0; "month" -> it.monthValue.toDouble(); else -> it.dayOfWeek.value.toDouble() }
        }
    }
}

private val FORMS = mapOf(
    "number" to Regex("[+-]?(\\d+\\.?\\d*|\\.\\d+)([eE][+-]?\\d+)?"),
    "number with decimal comma" to Regex("[+-]?(\\d+|[1-9]\\d{0,2}(\\.\\d{3})+)(,\\d+)?"),
    "number with commas at thousands" to Regex("[+-]?(\\d+|[1-9]\\d{0,2}(,\\d{3})+)(\\.\\d+)?"),
)

fun readCell(text: String, form: String, missing: List<String>): Double {
    if (text.lowercase() in missing) return Double.NaN
    val pattern = FORMS[form] ?: return readTime(text, form)
    require(pattern.matches(text)) { "$text is not a $form" }
    val value = (if (form == "number with decimal comma") text.replace(".", "").replace(",", ".") else text.replace(",", "")).toDouble()
    require(abs(value) <= 3.4028234e38) { "$text is not a number that a model can read" }
    return value
}

fun readTime(text: String, form: String): Double {
    val order = mapOf("year-month-day" to "ymd", "day.month.year" to "dmy", "month/day/year" to "mdy").getValue(form)
    val match = Regex("(\\d{1,4})([-./])(\\d{1,2})\\2(\\d{1,4})(?:[T ](\\d{1,2}):(\\d\\d)(?::(\\d\\d))?(?:[.,]\\d+)?(Z|[+-]\\d\\d(?::?\\d\\d)?)?)?").matchEntire(text)?.groupValues
    fun part(letter: Char) = match!![listOf(1, 3, 4)[order.indexOf(letter)]]
    require(match != null && part('y').length == 4 && !(order == "mdy" && match[2] == ".")) { "$text is not a $form" }
    val clock = (5..7).map { match[it].ifEmpty { "0" }.toInt() }
    val zone = match[8].replace("Z", "").ifEmpty { "+00" }
    return OffsetDateTime.of(part('y').toInt(), part('m').toInt(), part('d').toInt(), clock[0], clock[1], clock[2], 0, ZoneOffset.of(zone)).toEpochSecond().toDouble()
}

/** Turns a text into token ids of words and then of pairs, [2 * length]. */
fun preprocessText(text: String, contract: JSONObject): FloatArray {
    val rules = contract.getJSONObject("tokenizer")
    fun points(text: String) = text.codePoints().toArray()
    val folds = points(rules.getString("fold_from")).zip(points(rules.getString("fold_to")).toList()).toMap()
    var plain = points(Normalizer.normalize(text, Normalizer.Form.NFC)).joinToString("") { String(Character.toChars(folds[it] ?: it)) }
    for ((rule, replacement) in listOf("separators" to " ", "alone" to " $1 ", "leading" to " ", "trailing" to " ")) plain = plain.replace(Regex(rules.getString(rule)), replacement)
    val length = contract.getInt("length"); val words = plain.split(" ").filter(String::isNotEmpty).take(length)
    val places = contract.getJSONArray("vocabulary").texts().withIndex().associate { (at, word) -> word to at + contract.getInt("first") }
    val pairs = words.zipWithNext { word, next -> places["$word $next"] ?: contract.getInt("padding") }
    val ids = words.map { places[it] ?: contract.getInt("unknown") }
    return FloatArray(2 * length) { at -> ((if (at < length) ids.getOrNull(at) else pairs.getOrNull(at - length)) ?: contract.getInt("padding")).toFloat() }
}

fun JSONArray.indices() = 0 until length()
fun JSONArray.objects() = indices().map { getJSONObject(it) }
fun JSONArray.texts() = indices().map { getString(it) }
fun JSONArray.getFloat(at: Int) = getDouble(at).toFloat()
fun JSONObject.getFloat(name: String) = getDouble(name).toFloat()
