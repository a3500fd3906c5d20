// Reads the signed pointer and checks a bundle on iOS. It was not compiled or run where this project is tested:
// run it against a bundle before you rely on it. `clients/kotlin/Edgeline.kt` has the way to the tensor.
import CryptoKit
import Foundation

struct Refused: Error { let reason: String }

struct Pointer: Decodable {
  struct Release: Decodable { let version: Int, manifest_sha256: String, percent: Double? }
  let model: String, counter: Int, rollbacks: Int, issued: String, expires: String
  let production: Release, candidate: Release?
}

private struct Current: Decodable {
  struct Signature: Decodable { let keyid: String, sig: String }
  struct Envelope: Decodable { let payloadType: String, payload: String, signatures: [Signature] }
  let signed: Envelope
}

/// Returns the pointer in current.json; compare counter, expiry and rollbacks with what this phone has seen.
func readPointer(_ current: Data, key: Curve25519.Signing.PublicKey) throws -> Pointer {
  let signed = try JSONDecoder().decode(Current.self, from: current).signed
  guard let payload = Data(base64Encoded: signed.payload), let signature = signed.signatures.first,
    let raw = Data(base64Encoded: signature.sig), signed.payloadType == "application/vnd.edgeline.pointer+json",
    key.isValidSignature(raw, for: Data("DSSEv1 37 \(signed.payloadType) \(payload.count) ".utf8) + payload)
  else { throw Refused(reason: "current.json is not signed with this key") }
  return try JSONDecoder().decode(Pointer.self, from: payload)
}

/// Returns the release that the client with this id runs: a share of them runs the candidate, by a hash of the id.
func chooseRelease(_ pointer: Pointer, client: String) -> Pointer.Release {
  guard let candidate = pointer.candidate, let percent = candidate.percent else { return pointer.production }
  let digest = SHA256.hash(data: Data("\(pointer.model)\n\(candidate.version)\n\(client)".utf8))
  let number = digest.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) } % 10_000
  return Double(number) / 100 < percent ? candidate : pointer.production
}

/// Compares the files of a downloaded bundle, `read` by name, with the manifest of the release.
func checkBundle(_ names: [String], of release: Pointer.Release, model: String, read: (String) throws -> Data) throws {
  struct Manifest: Decodable {
    struct Entry: Decodable { let path: String, sha256: String }
    let expires: String, files: [Entry]
  }
  let sha256 = { (content: Data) in SHA256.hash(data: content).map { String(format: "%02x", $0) }.joined() }
  let raw = try read("manifest.json")
  guard sha256(raw) == release.manifest_sha256 else { throw Refused(reason: "manifest.json was swapped") }
  let manifest = try JSONDecoder().decode(Manifest.self, from: raw)
  for name in names {
    let path = "edge/\(model)/\(release.version)/\(name)"
    guard let entry = manifest.files.first(where: { $0.path == path }), sha256(try read(name)) == entry.sha256
    else { throw Refused(reason: "\(name) was swapped") }
  }
}
