/**
 * Reads a bundle in Kotlin: signed pointer, files, and the one way from a raw input to the model's input.
 *
 * It needs Android's org.json, and Ed25519 (Java 15, Android 13). On Android, decode a photo with BitmapFactory
 * and pass its pixels; run the file with LiteRT's CompiledModel. Golden.kt checks golden vectors on the JVM.
 */
import java.io.*
import java.math.BigInteger
import java.net.*
import java.nio.*
import java.security.*
import java.security.spec.*
import java.text.Normalizer
import java.time.*
import java.util.Base64
import java.util.concurrent.*
import kotlin.concurrent.thread
import kotlin.math.*
import org.json.*

const val TYPE = "application/vnd.edgeline.pointer+json"
const val READER_VERSION = 2 // of the manifest's schema
const val MOST_BYTES = 4_000_000L // of current.json, and of manifest.json
const val MOST_SIGNATURES = 8
private val HEX = Regex("[0-9a-f]{64}")

fun sha256(content: ByteArray) = MessageDigest.getInstance("SHA-256").digest(content).joinToString("") { "%02x".format(it) }

/** Why a release is not accepted: a reason of edgeline/release/refusals.json, which has its words, and their facts. */
class Refused(val reason: String, vararg facts: Pair<String, Any>) : Exception("$reason ${facts.toMap()}") {
    val facts = facts.toMap()
}

data class Release(val version: Long, val digest: String, val percent: Double? = null) {
    constructor(json: JSONObject, percent: Double? = null) : this(json.getWhole("version", 1), json.getText("manifest_sha256"), percent) {
        require(HEX.matches(digest)) { "$digest is no digest" }
    }
}

/** The payload of the envelope; its keys that are not known here are ignored. */
class Pointer(val json: JSONObject) {
    val model = json.getText("model"); val counter = json.getWhole("counter", 1); val rollbacks = json.getWhole("rollbacks", 0)
    val issued = readInstant(json.getText("issued")); val expires = readInstant(json.getText("expires"))
    val production = Release(json.getJSONObject("production"))
    val candidate = if (json.isNull("candidate")) null else json.getJSONObject("candidate").let { Release(it, (it.get("percent") as Number).toDouble()) }
    val sides get() = listOf(production, candidate)

    init {
        require(issued < expires) { "it expires before it was issued" }
        require(candidate == null || candidate.percent!! in 0.01..99.99) { "${candidate!!.percent} % of phones" }
    }

    /** Returns the release that the client with this id runs: a share of them runs the candidate, by a hash of the id. */
    fun choose(client: String): Release {
        if (candidate == null) return production
        val start = ByteBuffer.wrap(MessageDigest.getInstance("SHA-256").digest("$model\n${candidate.version}\n$client".toByteArray())).getLong()
        return if (java.lang.Long.remainderUnsigned(start, 10_000) / 100.0 < candidate.percent!!) candidate else production
    }
}

/** What a phone remembers of the last pointer that it accepted; keep its text beside the bundle of `release`. */
data class Seen(val key: String?, val pointer: Pointer, val release: Release, val epoch: Long) {
    constructor(json: JSONObject) : this(json.opt("key") as? String, Pointer(json.getJSONObject("pointer")), Release(json.getJSONObject("release")), json.getWhole("epoch", 0))

    fun toJson() = JSONObject(mapOf("key" to key, "pointer" to pointer.json, "epoch" to epoch))
        .put("release", JSONObject(mapOf("version" to release.version, "manifest_sha256" to release.digest)))
}

/**
 * Returns what to remember once the release is proven, with the least epoch that its manifest may have.
 *
 * `keys` are those that the app pins, the oldest first: during a change of keys both. Without any, the key of the
 * first pointer is required from then on. Throws Refused; clients/pointers.json has examples.
 */
fun judgePointer(current: ByteArray?, keys: List<String>, seen: Seen?, model: String, client: String, now: Instant): Seen {
    if (current == null) throw Refused("missing", "file" to "current.json")
    if (current.size > MOST_BYTES) throw Refused("large", "file" to "current.json", "most" to MOST_BYTES)
    // A StackOverflowError, which many brackets cause, is no Exception.
    val (pointer, signatures) = runCatching { readEnvelope(current) }.getOrElse { throw Refused("pointer") }
    val key = findSigner(signatures, keys, seen)
    if (pointer.model != model) throw Refused("other", "found" to pointer.model, "model" to model)
    if (pointer.issued > now + Duration.ofDays(1)) throw Refused("clock", "issued" to pointer.issued)
    if (pointer.expires <= now) throw Refused("stale", "expires" to pointer.expires)
    val release = pointer.choose(client)
    if (seen != null && key == seen.key) {
        if (key == null) compareUnsigned(pointer, seen.pointer) else compareSigned(pointer, release, seen)
    }
    val follows = seen != null && (key != null && key == seen.key || release.digest == seen.release.digest)
    return Seen(key, pointer, release, if (follows) seen!!.epoch else 0)
}

private class Signer(val key: String, val isRight: Boolean)

private fun readEnvelope(current: ByteArray): Pair<Pointer, List<Signer>> {
    val signed = JSONObject(String(current)).getJSONObject("signed")
    val signatures = signed.getJSONArray("signatures").objects()
    require(signed.getText("payloadType") == TYPE && signatures.size <= MOST_SIGNATURES && signatures.all { HEX.matches(it.getText("keyid")) }) { "no envelope" }
    val payload = Base64.getDecoder().decode(signed.getText("payload"))
    val pointer = Pointer(JSONObject(String(payload)))
    return pointer to signatures.map { Signer(it.getText("keyid"), isSigned(payload, it.getText("keyid"), it.getText("sig"))) }
}

/** Returns the newest trusted key that signed, never one older than the key that this phone has accepted before. */
private fun findSigner(signatures: List<Signer>, keys: List<String>, seen: Seen?): String? {
    val trusted = if (keys.isEmpty()) listOfNotNull(seen?.key) else keys.drop(max(0, keys.indexOf(seen?.key)))
    if (trusted.isNotEmpty()) {
        return trusted.lastOrNull { key -> signatures.any { it.key == key && it.isRight } } ?: throw Refused("signature", "key" to trusted.joinToString(", "))
    }
    val first = signatures.firstOrNull() ?: return null
    return if (first.isRight) first.key else throw Refused("signature", "key" to first.key)
}

private fun isSigned(payload: ByteArray, key: String, signature: String) = runCatching {
    val little = key.chunked(2).map { it.toInt(16).toByte() }.toByteArray()
    val odd = little.last() < 0
    little[31] = (little[31].toInt() and 127).toByte()
    val point = EdECPoint(odd, BigInteger(1, little.reversedArray()))
    val public = KeyFactory.getInstance("Ed25519").generatePublic(EdECPublicKeySpec(NamedParameterSpec.ED25519, point))
    val verifier = Signature.getInstance("Ed25519").apply { initVerify(public) }
    verifier.update("DSSEv1 ${TYPE.length} $TYPE ${payload.size} ".toByteArray() + payload)
    verifier.verify(Base64.getDecoder().decode(signature))
}.getOrDefault(false)

private fun compareSigned(pointer: Pointer, release: Release, seen: Seen) {
    val last = seen.pointer
    if (pointer.counter < last.counter || pointer.counter == last.counter && pointer.sides != last.sides) {
        throw Refused("replayed", "found" to pointer.counter, "seen" to last.counter)
    }
    if (release.version < seen.release.version && pointer.rollbacks <= last.rollbacks) {
        throw Refused("lower", "version" to release.version, "seen" to seen.release.version)
    }
}

/** Compares the times only: anybody can write a counter of 10^15, after which no other would be accepted. */
private fun compareUnsigned(pointer: Pointer, last: Pointer) {
    if (pointer.issued < last.issued || pointer.issued == last.issued && pointer.sides != last.sides) {
        throw Refused("earlier", "found" to pointer.issued, "seen" to last.issued)
    }
}

/** Reads manifest.json, of which the pointer has the digest; `next` is what judgePointer returned. */
fun checkManifest(raw: ByteArray, next: Seen, now: Instant): JSONObject {
    val version = next.release.version
    val swapped = Refused("swapped", "file" to "manifest.json")
    if (raw.size > MOST_BYTES) throw Refused("large", "file" to "manifest.json", "most" to MOST_BYTES)
    if (sha256(raw) != next.release.digest) throw swapped
    val manifest = runCatching { JSONObject(String(raw)) }.getOrElse { throw swapped }
    if (manifest.optInt("min_reader_version") > READER_VERSION) throw Refused("newer", "version" to manifest.getInt("min_reader_version"))
    if (manifest.opt("model") != next.pointer.model || manifest.optLong("version") != version) throw swapped
    val expires = runCatching { readInstant(manifest.getText("expires")) }.getOrElse { throw swapped }
    if (expires <= now) throw Refused("expired", "version" to version, "expires" to expires)
    val epoch = manifest.optLong("rollback_epoch")
    if (epoch < next.epoch) throw Refused("epoch", "version" to version, "found" to epoch, "seen" to next.epoch)
    return manifest
}

/** Compares a file of the bundle with its entry in the manifest. */
fun checkFile(content: ByteArray, name: String, entry: JSONObject) {
    val size = entry.getLong("size")
    if (content.size > size) throw Refused("large", "file" to name, "most" to size)
    if (content.size < size) throw Refused("truncated", "file" to name, "found" to content.size, "size" to size)
    if (sha256(content) != entry.getString("sha256")) throw Refused("swapped", "file" to name)
}

/** Returns the manifest of a release, after a check of every file of the bundle in `folder`. */
fun checkBundle(folder: File, next: Seen, now: Instant): JSONObject {
    fun read(name: String, most: Long): ByteArray {
        val file = File(folder, name)
        return if (file.isFile) file.inputStream().use { readAtMost(it, name, most) } else throw Refused("missing", "file" to name)
    }
    val manifest = checkManifest(read("manifest.json", MOST_BYTES), next, now)
    val home = "edge/${manifest["model"]}/${manifest["version"]}/"
    for (entry in manifest.getJSONArray("files").objects().filter { it.getString("path").startsWith(home) }) {
        val name = entry.getString("path").removePrefix(home)
        checkFile(read(name, entry.getLong("size")), name, entry)
    }
    return manifest
}

/** Returns why the release in use, or its pointer, is over, else null; at its start an app warns of it, or throws it. */
fun findExpired(seen: Seen, manifest: JSONObject, now: Instant): Refused? {
    val expires = readInstant(manifest.getText("expires"))
    return when {
        seen.pointer.expires <= now -> Refused("stale", "expires" to seen.pointer.expires)
        expires <= now -> Refused("expired", "version" to seen.release.version, "expires" to expires)
        else -> null
    }
}

/**
 * Fetches a file from the store, of at most `most` bytes: MOST_BYTES, or the size that the manifest has.
 *
 * The deadline is one for all of the request, however slowly the server answers. Throws Refused or IOException.
 */
fun fetch(place: String, name: String, most: Long, seconds: Long = 60): ByteArray {
    val connection = URL("$place/$name").openConnection() as HttpURLConnection
    connection.connectTimeout = (seconds * 1000).toInt()
    connection.readTimeout = connection.connectTimeout
    val answer = FutureTask {
        if (connection.responseCode == 404) throw Refused("missing", "file" to name)
        connection.inputStream.use { readAtMost(it, name, most) }
    }
    thread(isDaemon = true) { answer.run() }
    val slow = Refused("slow", "file" to name, "seconds" to seconds)
    try {
        return answer.get(seconds, TimeUnit.SECONDS)
    } catch (error: TimeoutException) {
        answer.cancel(true)
        thread(isDaemon = true) { connection.disconnect() } // it may wait for the read that goes on
        throw slow
    } catch (error: ExecutionException) {
        throw if (error.cause is SocketTimeoutException) slow else error.cause!!
    }
}

private fun readAtMost(stream: InputStream, name: String, most: Long): ByteArray {
    val content = ByteArrayOutputStream(); val part = ByteArray(65536)
    while (true) {
        val count = stream.read(part)
        if (count < 0) return content.toByteArray()
        content.write(part, 0, count)
        if (content.size() > most) throw Refused("large", "file" to name, "most" to most)
        if (Thread.interrupted()) throw InterruptedIOException()
    }
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

/** Refuses a contract that this reader would read wrongly: of a version that it does not know. */
fun checkVersion(contract: JSONObject, known: IntRange) = contract.getInt("version").let {
    require(it in known) { "preprocessing.json has version $it, and this reader knows ${known.joinToString(" and ")}" }
}

/** Turns upright RGB pixels into [size, size, channels], 0..255: Pillow's antialiased bilinear filter, twice. */
fun preprocessPhoto(pixels: Array<IntArray>, contract: JSONObject): FloatArray {
    checkVersion(contract, 3..3)
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
    checkVersion(contract, 3..4)
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

/**
 * Returns how unlike all of training a row or window is, 0 to 1; above 0.5, the answer to it means little.
 *
 * It is above 0.5 where a number is more than a deviation beyond its range in training, and 1 where no training example
 * had a category.
 */
fun measureUnlike(cells: Map<String, List<String>>, contract: JSONObject): Double {
    val missing = contract.getJSONArray("missing").texts()
    val beyond = contract.getJSONArray("numbers").objects().flatMap { number -> (0 until contract.getInt("readings")).map { reading ->
        val value = readColumn(number.getJSONObject("column"), missing) { name -> cells.getValue(name)[reading].trim() }.toFloat().toDouble()
        if (value.isNaN()) 0.0 else max(number.getFloat("low") - value, value - number.getFloat("high")) / number.getFloat("deviation")
    } }
    val isNew = contract.getJSONArray("categories").objects().any { category ->
        val text = cells.getValue(category.getString("name")).last().trim(); val vocabulary = category.getJSONArray("vocabulary").texts()
        // All values of training are in a vocabulary that is not full, but for the empty one.
        text.isNotEmpty() && text !in vocabulary && vocabulary.size < contract.getInt("vocabulary_size")
    }
    val farthest = if (isNew) Double.POSITIVE_INFINITY else max(0.0, beyond.maxOrNull() ?: 0.0)
    return 1 - 1 / (1 + farthest)
}

fun readColumn(column: JSONObject, missing: List<String>, cell: (String) -> String): Double {
    if (column.optJSONArray("missing")?.texts()?.contains(cell(column.getString("name"))) == true) return Double.NaN
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
    "number with decimal comma" to Regex("[+-]?(\\d+|[1-9]\\d{0,2}(\\.\\d{3})+)(,\\d+)?([eE][+-]?\\d+)?"),
    "number with commas at thousands" to Regex("[+-]?(\\d+|[1-9]\\d{0,2}(,\\d{3})+)(\\.\\d+)?"),
    "fraction" to Regex("[+-]?(?:(\\d+(?:\\.\\d+)?(?:e[+-]?\\d+)?)|(?:(\\d+) )?(\\d+)/(0*[1-9]\\d*))"),
    "minutes:seconds or hours:minutes" to Regex("[+-]?\\d+:[0-5]\\d([.,]\\d+)?"),
    "hours:minutes:seconds" to Regex("[+-]?(\\d+:[0-5]\\d|[1-9]?\\d):[0-5]\\d([.,]\\d+)?"),
)

fun readCell(text: String, form: String, missing: List<String>): Double {
    if (text.lowercase() in missing) return Double.NaN
    val base = form.substringBefore(" in "); val unit = form.substringAfter(" in ", "")
    val pattern = FORMS[base] ?: return readTime(text, form)
    val plain = normalizeNumber(text).let { if (unit.isEmpty()) it else removeUnit(it, unit) }
    val match = requireNotNull(pattern.matchEntire(plain)) { "$text is not a $form" }
    fun part(at: Int) = match.groupValues[at].ifEmpty { "0" }.toDouble()
    val sign = if (plain.startsWith("-")) -1 else 1
    val value = when (base) {
        "number" -> plain.toDouble()
        "number with decimal comma" -> plain.replace(".", "").replace(",", ".").toDouble()
        "number with commas at thousands" -> plain.replace(",", "").toDouble()
        "fraction" -> sign * (part(1) + part(2) + if (match.groupValues[4].isEmpty()) 0.0 else part(3) / part(4))
        else -> sign * plain.trimStart('+', '-').split(":").fold(0.0) { sum, each -> 60 * sum + each.replace(",", ".").toDouble() }
    }
    require(abs(value) <= 3.4028234e38) { "$text is not a number that a model can read" }
    return value
}

/** Returns a number with its minus before it, and without a formula around it or marks at thousands. */
private fun normalizeNumber(cell: String): String {
    var text = (Regex("=\"?([^\"]*)\"?").matchEntire(cell)?.groupValues?.get(1) ?: cell).replace('\u2212', '-')
    Regex("\\(([^()+-]+)\\)|(\\d[^+-]*)-").matchEntire(text)?.let { text = "-" + it.groupValues[1] + it.groupValues[2] }
    val groups = Regex("(\\D*[1-9]\\d{0,2}(?:[ \u00a0\u202f'\u2019]\\d{3})+)(?!\\d)(.*)").matchEntire(text)?.groupValues ?: return text
    return groups[1].replace(Regex("[ \u00a0\u202f'\u2019]"), "") + groups[2]
}

/** Returns a number without its unit, before or behind it; nothing if it has another. */
private fun removeUnit(text: String, unit: String): String {
    val sign = text.takeWhile { it == '-' || it == '+' }.take(1); val number = text.removePrefix(sign)
    if (number.startsWith(unit)) return sign + number.removePrefix(unit).trim()
    return if (number.endsWith(unit)) sign + number.removeSuffix(unit).trim() else ""
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

private const val MARKS = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ" // of Windows-1252, from 0x80 on
private val BYTES = Regex("[\u00c2-\u00df][\u0080-\u00bf]|[\u00e0-\u00ef][\u0080-\u00bf]{2}|[\u00f0-\u00f4][\u0080-\u00bf]{3}")

/** Returns a text in which marks that were decoded twice are what they were. */
fun repairText(text: String): String {
    if (text.none { it in '\u0080'..'\u009f' }) return text
    val whole = BYTES.replace(text) { match ->
        try { Charsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(match.value.toByteArray(Charsets.ISO_8859_1))).toString() } catch (_: CharacterCodingException) { match.value }
    }
    return whole.map { if (it in '\u0080'..'\u009f') MARKS[it.code - 0x80] else it }.joinToString("")
}

/** Turns a text into token ids of words and then of pairs, [2 * length]. */
fun preprocessText(text: String, contract: JSONObject): FloatArray {
    checkVersion(contract, 3..3)
    val rules = contract.getJSONObject("tokenizer")
    fun points(text: String) = text.codePoints().toArray()
    val folds = points(rules.getString("fold_from")).zip(points(rules.getString("fold_to")).toList()).toMap()
    var plain = points(Normalizer.normalize(repairText(text), Normalizer.Form.NFC)).joinToString("") { String(Character.toChars(folds[it] ?: it)) }
    for ((rule, replacement) in listOf("separators" to " ", "alone" to " $1 ", "leading" to " ", "trailing" to " ")) plain = plain.replace(Regex(rules.getString(rule)), replacement)
    val length = contract.getInt("length"); val words = plain.split(" ").filter(String::isNotEmpty).take(length)
    val places = contract.getJSONArray("vocabulary").texts().withIndex().associate { (at, word) -> word to at + contract.getInt("first") }
    val pairs = words.zipWithNext { word, next -> places["$word $next"] ?: contract.getInt("padding") }
    val ids = words.map { places[it] ?: contract.getInt("unknown") }
    return FloatArray(2 * length) { at -> ((if (at < length) ids.getOrNull(at) else pairs.getOrNull(at - length)) ?: contract.getInt("padding")).toFloat() }
}

private fun readInstant(text: String) = OffsetDateTime.parse(text).toInstant()

/** Returns a text; getString would also turn a number into one. */
fun JSONObject.getText(name: String) = get(name) as? String ?: throw JSONException("$name is no text")

/** Returns a whole number; getLong would also read a text, or cut a fraction off. */
fun JSONObject.getWhole(name: String, least: Long): Long {
    val value = get(name)
    if (value !is Int && value !is Long || (value as Number).toLong() < least) throw JSONException("$name is $value")
    return value.toLong()
}
fun JSONArray.indices() = 0 until length()
fun JSONArray.objects() = indices().map { getJSONObject(it) }
fun JSONArray.texts() = indices().map { getString(it) }
fun JSONArray.getFloat(at: Int) = getDouble(at).toFloat()
fun JSONObject.getFloat(name: String) = getDouble(name).toFloat()
