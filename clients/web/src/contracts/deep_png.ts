/** Reads grey PNG files of 16 bits, of which a browser gives the upper 8 alone, as `edgeline/edge/photo_pixels.py` does. */
const SIGNATURE = 0x89504e47, GREY = 0, BYTES = 2; // of a pixel

/** Returns grey values of 8 bits, 0 and 255 for the two `levels`; undefined for any other file. */
export async function readDeepPng(file: Uint8Array, levels: number[] | undefined): Promise<ImageData | undefined> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const isDeep = file.length > 28 && view.getUint32(0) === SIGNATURE && file[24] === 16 && file[25] === GREY && file[28] === 0;
  if (!isDeep) return undefined;
  const width = view.getUint32(16), height = view.getUint32(20), stride = width * BYTES;
  const rows = await inflate(file, view);
  if (rows.length < height * (stride + 1)) throw new Error("truncated");

  const image = new ImageData(width, height), [low, high] = levels ?? [0, 0], step = high! - low!;
  let before = new Uint8Array(stride);
  for (let y = 0, at = 0; y < height; y++, at += stride + 1) {
    const row = unfilter(rows[at]!, rows.subarray(at + 1, at + 1 + stride), before);
    for (let x = 0; x < width; x++) {
      const level = row[BYTES * x]! * 256 + row[BYTES * x + 1]!;
      const clipped = Math.min(high!, Math.max(low!, level));
      const value = levels ? Math.floor((510 * (clipped - low!) + step) / (2 * step)) : level >> 8;
      image.data.set([value, value, value, 255], 4 * (y * width + x));
    }
    before = row;
  }
  return image;
}

async function inflate(file: Uint8Array, view: DataView): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let at = 8; at + 8 <= file.length;) {
    const length = view.getUint32(at), kind = String.fromCharCode(...file.subarray(at + 4, at + 8));
    if (kind === "IDAT") parts.push(file.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  const stream = new Blob(parts as BlobPart[]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Undoes a filter of PNG (https://www.w3.org/TR/png/#9Filters) for a row, given the one above it. */
function unfilter(kind: number, row: Uint8Array, above: Uint8Array): Uint8Array<ArrayBuffer> {
  const values = Uint8Array.from(row);
  for (let at = 0; at < values.length; at++) {
    const left = at < BYTES ? 0 : values[at - BYTES]!, up = above[at]!, corner = at < BYTES ? 0 : above[at - BYTES]!;
    const guess = left + up - corner, [a, b, c] = [left, up, corner].map((near) => Math.abs(guess - near)) as [number, number, number];
    const paeth = a <= b && a <= c ? left : b <= c ? up : corner;
    values[at] = values[at]! + [0, left, up, (left + up) >> 1, paeth][kind]!;
  }
  return values;
}
