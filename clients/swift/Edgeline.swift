// Reads a bundle on iOS: the signed pointer, the files, and a photo as the model's input. It was not compiled
// or run where this project is tested: run `checkGolden` on a phone before you rely on it.
import CoreGraphics
import CryptoKit
import Foundation
import ImageIO

struct Refused: Error { let reason: String }

struct Pointer: Decodable {
  struct Production: Decodable { let version: Int; let manifest_sha256: String }
  let model: String, counter: Int, rollbacks: Int, issued: String, expires: String, production: Production
}

/// Returns the pointer in current.json; compare counter, expiry and rollbacks with what this phone has seen.
func readPointer(_ current: Data, key: Curve25519.Signing.PublicKey) throws -> Pointer {
  struct Current: Decodable {
    struct Signature: Decodable { let keyid: String, sig: String }
    struct Envelope: Decodable { let payloadType: String, payload: String, signatures: [Signature] }
    let signed: Envelope
  }
  let signed = try JSONDecoder().decode(Current.self, from: current).signed
  guard let payload = Data(base64Encoded: signed.payload), let signature = signed.signatures.first,
    let raw = Data(base64Encoded: signature.sig), signed.payloadType == "application/vnd.edgeline.pointer+json",
    key.isValidSignature(raw, for: Data("DSSEv1 37 \(signed.payloadType) \(payload.count) ".utf8) + payload)
  else { throw Refused(reason: "current.json is not signed with this key") }
  return try JSONDecoder().decode(Pointer.self, from: payload)
}

func sha256(_ content: Data) -> String { SHA256.hash(data: content).map { String(format: "%02x", $0) }.joined() }

struct Contract: Decodable { let image_size: Int, channels: Int, max_side: Int, luma: [Float] }

/// Turns a photo into [image_size, image_size, channels], 0..255, by Pillow's antialiased bilinear filter, twice.
func preprocess(photo: Data, contract: Contract) throws -> [UInt8] {
  let options = [kCGImageSourceCreateThumbnailFromImageAlways: true, kCGImageSourceCreateThumbnailWithTransform: true,
    kCGImageSourceThumbnailMaxPixelSize: 100_000] as CFDictionary
  guard let source = CGImageSourceCreateWithData(photo as CFData, nil),
    let image = CGImageSourceCreateThumbnailAtIndex(source, 0, options) else { throw Refused(reason: "the photo cannot be read") }
  let (width, height) = (image.width, image.height)
  var pixels = [UInt8](repeating: 255, count: width * height * 4) // white behind what is transparent
  let context = CGContext(data: &pixels, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * 4,
    space: image.colorSpace?.model == .rgb ? image.colorSpace! : CGColorSpaceCreateDeviceRGB(),
    bitmapInfo: CGImageAlphaInfo.premultipliedLast.rawValue)
  context?.draw(image, in: CGRect(x: 0, y: 0, width: width, height: height))
  let longest = max(width, height), side = contract.max_side, size = contract.image_size
  let scaled = { longest > side ? max(1, (2 * $0 * side + longest) / (2 * longest)) : $0 }
  var planes = (0..<3).map { channel in
    resize((0..<height).map { y in (0..<width).map { x in Float(pixels[(y * width + x) * 4 + channel]) } },
      to: (scaled(width), scaled(height)), round: true)
  }
  if contract.channels == 1 {
    planes = [planes[0].indices.map { y in planes[0][y].indices.map { x in (0..<3).reduce(Float(0)) { $0 + planes[$1][y][x] * contract.luma[$1] } } }]
  }
  let small = planes.map { resize($0, to: (size, size), round: false) }
  return (0..<size * size * contract.channels).map { at in
    let value = small[at % contract.channels][at / contract.channels / size][at / contract.channels % size]
    return UInt8(min(255, max(0, value.rounded(.toNearestOrEven))))
  }
}

func resize(_ plane: [[Float]], to size: (Int, Int), round: Bool) -> [[Float]] {
  func line(_ source: [Float], _ count: Int) -> [Float] {
    if round && source.count == count { return source }
    let scale = Double(source.count) / Double(count), stretch = max(scale, 1)
    return (0..<count).map { at in
      let center = (Double(at) + 0.5) * scale
      let range = max(0, Int(center - stretch + 0.5))..<min(source.count, Int(center + stretch + 0.5))
      let weights = range.map { max(0, 1 - abs((Double($0) - center + 0.5) / stretch)) }
      let value = zip(weights, range).reduce(0) { $0 + $1.0 * Double(source[$1.1]) } / weights.reduce(0, +)
      return Float(round ? (value + 0.5).rounded(.down) : value)
    }
  }
  let rows = plane.map { line($0, size.0) }
  let columns = (0..<size.0).map { x in line(rows.map { $0[x] }, size.1) }
  return (0..<size.1).map { y in columns.map { $0[y] } }
}

/// Returns the largest difference between the golden photos' tensors and `preprocess` in a bundle of photos.
func checkGolden(bundle: URL) throws -> Int {
  struct Golden: Decodable { struct Example: Decodable { let file: String }; let examples: [Example] }
  let read = { try Data(contentsOf: bundle.appendingPathComponent($0)) }
  let contract = try JSONDecoder().decode(Contract.self, from: read("preprocessing.json"))
  let expected = try read("golden/tensors.bin"), size = contract.image_size * contract.image_size * contract.channels
  return try JSONDecoder().decode(Golden.self, from: read("golden/golden.json")).examples.enumerated().map { number, example in
    let tensor = try preprocess(photo: read("golden/\(example.file)"), contract: contract)
    return tensor.indices.map { abs(Int(tensor[$0]) - Int(expected[number * size + $0])) }.max() ?? 0
  }.max() ?? 0
}
