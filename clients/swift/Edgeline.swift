// Reads the signed pointer and checks a bundle on iOS 15. It was not compiled or run where this project is tested:
// run it against clients/pointers.json and a bundle before you rely on it. `clients/kotlin/Edgeline.kt` has the
// same rules, which are tested, and the way to the tensor.
import CryptoKit
import Foundation

let mostBytes = 4_000_000  // of current.json, and of manifest.json
private let payloadType = "application/vnd.edgeline.pointer+json"

/// Why a release is not accepted: a reason of edgeline/release/refusals.json, which has its words, and their facts.
struct Refused: Error {
  let reason: String, facts: [String: String]
  init(_ reason: String, _ facts: [String: String] = [:]) { (self.reason, self.facts) = (reason, facts) }
}

struct Release: Codable, Equatable {
  let version: Int, manifest_sha256: String
  var percent: Double?
  var isValid: Bool { version > 0 && isDigest(manifest_sha256) }
}

struct Pointer: Codable {
  let model: String, counter: Int, rollbacks: Int, issued: Date, expires: Date
  let production: Release, candidate: Release?

  var sides: [Release?] { [production, candidate] }
  var isValid: Bool {
    let fits = candidate.map { $0.isValid && 0.01...99.99 ~= $0.percent ?? 0 } ?? true
    return counter > 0 && rollbacks >= 0 && issued < expires && production.isValid && fits
  }

  /// Returns the release that the client with this id runs: a share of them runs the candidate, by a hash of the id.
  func choose(client: String) -> Release {
    guard let candidate = candidate, let percent = candidate.percent else { return production }
    let digest = SHA256.hash(data: Data("\(model)\n\(candidate.version)\n\(client)".utf8))
    let number = digest.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } % 10_000
    return Double(number) / 100 < percent ? candidate : production
  }
}

/// What a phone remembers of the last pointer that it accepted; keep it, with .iso8601, beside the bundle of `release`.
struct Seen: Codable {
  let key: String?, pointer: Pointer, release: Release
  var epoch: Int
}

private struct Signer { let key: String, isRight: Bool }

/// Returns what to remember once the release is proven, with the least epoch that its manifest may have.
///
/// `keys` are those that the app pins, the oldest first: during a change of keys both. Without any, the key of the
/// first pointer is required from then on.
func judgePointer(
  _ current: Data?, keys: [String], seen: Seen?, model: String, client: String, now: Date
) throws -> Seen {
  guard let current = current else { throw Refused("missing", ["file": "current.json"]) }
  guard current.count <= mostBytes else { throw Refused("large", ["file": "current.json", "most": "\(mostBytes)"]) }
  guard let (pointer, signers) = try? readEnvelope(current) else { throw Refused("pointer") }
  let key = try findSigner(signers, keys: keys, last: seen?.key)
  guard pointer.model == model else { throw Refused("other", ["found": pointer.model, "model": model]) }
  guard pointer.issued <= now.addingTimeInterval(86_400)
  else { throw Refused("clock", ["issued": format(pointer.issued)]) }
  guard pointer.expires > now else { throw Refused("stale", ["expires": format(pointer.expires)]) }
  let release = pointer.choose(client: client)
  guard let seen = seen else { return Seen(key: key, pointer: pointer, release: release, epoch: 0) }
  if key == seen.key {
    try key == nil ? compareUnsigned(pointer, seen.pointer) : compareSigned(pointer, release, seen)
  }
  let isKept = release.manifest_sha256 == seen.release.manifest_sha256 || (key != nil && key == seen.key)
  return Seen(key: key, pointer: pointer, release: release, epoch: isKept ? seen.epoch : 0)
}

private func readEnvelope(_ current: Data) throws -> (Pointer, [Signer]) {
  struct Signature: Decodable { let keyid: String, sig: String }
  struct Envelope: Decodable { let payloadType: String, payload: String, signatures: [Signature] }
  struct Current: Decodable { let signed: Envelope }
  let signed = try makeDecoder().decode(Current.self, from: current).signed
  guard signed.payloadType == payloadType, signed.signatures.count <= 8,
    signed.signatures.allSatisfy({ isDigest($0.keyid) }), let payload = Data(base64Encoded: signed.payload)
  else { throw Refused("pointer") }
  let pointer = try makeDecoder().decode(Pointer.self, from: payload)
  guard pointer.isValid else { throw Refused("pointer") }
  let content = Data("DSSEv1 \(payloadType.utf8.count) \(payloadType) \(payload.count) ".utf8) + payload
  let signers = signed.signatures.map { each -> Signer in
    let raw = stride(from: 0, to: 64, by: 2).compactMap { UInt8(each.keyid.dropFirst($0).prefix(2), radix: 16) }
    let key = try? Curve25519.Signing.PublicKey(rawRepresentation: Data(raw))
    let signature = Data(base64Encoded: each.sig) ?? Data()
    return Signer(key: each.keyid, isRight: key?.isValidSignature(signature, for: content) ?? false)
  }
  return (pointer, signers)
}

/// Returns the newest trusted key that signed, never one older than the key that this phone has accepted before.
private func findSigner(_ signers: [Signer], keys: [String], last: String?) throws -> String? {
  let oldest = keys.firstIndex(where: { $0 == last }) ?? 0
  let trusted = keys.isEmpty ? [last].compactMap { $0 } : Array(keys[oldest...])
  if trusted.isEmpty {
    guard let first = signers.first else { return nil }
    guard first.isRight else { throw Refused("signature", ["key": first.key]) }
    return first.key
  }
  guard let signer = trusted.last(where: { key in signers.contains { $0.key == key && $0.isRight } })
  else { throw Refused("signature", ["key": trusted.joined(separator: ", ")]) }
  return signer
}

private func compareSigned(_ pointer: Pointer, _ release: Release, _ seen: Seen) throws {
  let last = seen.pointer
  guard pointer.counter > last.counter || (pointer.counter == last.counter && pointer.sides == last.sides)
  else { throw Refused("replayed", ["found": "\(pointer.counter)", "seen": "\(last.counter)"]) }
  guard release.version >= seen.release.version || pointer.rollbacks > last.rollbacks
  else { throw Refused("lower", ["version": "\(release.version)", "seen": "\(seen.release.version)"]) }
}

/// Compares the times only: anybody can write a counter of 10^15, after which no other would be accepted.
private func compareUnsigned(_ pointer: Pointer, _ last: Pointer) throws {
  guard pointer.issued > last.issued || (pointer.issued == last.issued && pointer.sides == last.sides)
  else { throw Refused("earlier", ["found": format(pointer.issued), "seen": format(last.issued)]) }
}

struct Manifest: Decodable {
  struct Entry: Decodable { let path: String, size: Int, sha256: String }
  let model: String, version: Int, expires: Date, min_reader_version: Int, rollback_epoch: Int?, files: [Entry]
}

/// Reads manifest.json, of which the pointer has the digest; `next` is what judgePointer returned.
func checkManifest(_ raw: Data, next: Seen, now: Date) throws -> Manifest {
  let version = "\(next.release.version)"
  guard raw.count <= mostBytes else { throw Refused("large", ["file": "manifest.json", "most": "\(mostBytes)"]) }
  guard sha256(raw) == next.release.manifest_sha256, let manifest = try? makeDecoder().decode(Manifest.self, from: raw),
    manifest.model == next.pointer.model, manifest.version == next.release.version
  else { throw Refused("swapped", ["file": "manifest.json"]) }
  let reader = manifest.min_reader_version, epoch = manifest.rollback_epoch ?? 0
  guard reader <= 2 else { throw Refused("newer", ["version": "\(reader)"]) }
  if let expired = findExpired(next, manifest, now: now) { throw expired }
  guard epoch >= next.epoch
  else { throw Refused("epoch", ["version": version, "found": "\(epoch)", "seen": "\(next.epoch)"]) }
  return manifest
}

/// Compares a file of the bundle, by its path there, with the manifest.
func checkFile(_ content: Data, name: String, manifest: Manifest) throws {
  let path = "edge/\(manifest.model)/\(manifest.version)/\(name)"
  guard let entry = manifest.files.first(where: { $0.path == path }) else { throw Refused("swapped", ["file": name]) }
  let size = "\(entry.size)"
  guard content.count <= entry.size else { throw Refused("large", ["file": name, "most": size]) }
  guard content.count == entry.size
  else { throw Refused("truncated", ["file": name, "found": "\(content.count)", "size": size]) }
  guard sha256(content) == entry.sha256 else { throw Refused("swapped", ["file": name]) }
}

/// Returns why the release in use, or its pointer, is over; at its start an app warns of it, or throws it.
func findExpired(_ seen: Seen, _ manifest: Manifest, now: Date) -> Refused? {
  if seen.pointer.expires <= now { return Refused("stale", ["expires": format(seen.pointer.expires)]) }
  guard manifest.expires <= now else { return nil }
  return Refused("expired", ["version": "\(seen.release.version)", "expires": format(manifest.expires)])
}

/// Fetches a file of at most `most` bytes: mostBytes, or its size in the manifest. `seconds` bound all of the request.
func fetch(_ store: URL, _ name: String, most: Int, seconds: Double = 60) async throws -> Data {
  let configuration = URLSessionConfiguration.ephemeral
  configuration.timeoutIntervalForResource = seconds
  let session = URLSession(configuration: configuration)
  defer { session.invalidateAndCancel() }
  do {
    let (bytes, response) = try await session.bytes(from: store.appendingPathComponent(name))
    let status = (response as? HTTPURLResponse)?.statusCode ?? 200
    if status == 404 { throw Refused("missing", ["file": name]) }
    if status != 200 { throw URLError(.badServerResponse) }
    var content = Data()
    for try await byte in bytes {
      content.append(byte)
      if content.count > most { throw Refused("large", ["file": name, "most": "\(most)"]) }
    }
    return content
  } catch let error as URLError where error.code == .timedOut {
    throw Refused("slow", ["file": name, "seconds": "\(Int(seconds))"])
  }
}

private func isDigest(_ text: String) -> Bool {
  text.utf8.count == 64 && text.allSatisfy { "0123456789abcdef".contains($0) }
}

private func sha256(_ content: Data) -> String {
  SHA256.hash(data: content).map { String(format: "%02x", $0) }.joined()
}

private func format(_ time: Date) -> String { ISO8601DateFormatter().string(from: time) }

private func makeDecoder() -> JSONDecoder {
  let decoder = JSONDecoder()
  decoder.dateDecodingStrategy = .iso8601
  return decoder
}
