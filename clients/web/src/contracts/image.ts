/** Turns a photo into the model's input as `edgeline/edge/contracts/image.py` does, in the same arithmetic. */
import {Refused} from "../refusal";

export interface ImageContract {
  version: number; kind: "image"; image_size: number; channels: number; color: string; luma: number[];
  max_side: number; resize: string; rounding: string; orientation: string; transparency: string;
}
const STRIP = 512; // rows that are read at once: a phone may not have a canvas for 48 megapixels
const BITS = 22; // of Pillow's fixed-point weights
const KNOWN = {version: 2, resize: "bilinear-antialias", rounding: "nearest-uint8", orientation: "upright",
  transparency: "on-white"} as const;

export function checkImage(contract: ImageContract): void {
  const wrong = Object.entries(KNOWN).find(([key, value]) => contract[key as keyof ImageContract] !== value);
  if (wrong) throw new Refused("contract", {key: wrong[0], value: String(contract[wrong[0] as keyof ImageContract])});
}

/** Returns uint8 values, [image_size, image_size, channels], and the upright photo, scaled to `max_side`. */
export async function preprocessImage(photo: Blob, contract: ImageContract): Promise<[Uint8Array, Plane]> {
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(photo, {colorSpaceConversion: "none", premultiplyAlpha: "default"});
  } catch {
    throw new Refused("photo", {bytes: photo.size, type: photo.type || "?"});
  }
  const whole = scaleDown(bitmap, contract.max_side);
  bitmap.close();
  const size = contract.image_size, luma = contract.luma.map(Math.fround), tensor = new Uint8Array(size * size * contract.channels);
  for (let channel = 0; channel < contract.channels; channel++) {
    const plane = new Float32Array(whole.width * whole.height);
    for (let at = 0, from = 0; at < plane.length; at++, from += 3) {
      const [red, green, blue] = [whole.values[from]!, whole.values[from + 1]!, whole.values[from + 2]!];
      plane[at] = contract.channels === 3 ? whole.values[from + channel]!
        : Math.fround(Math.fround(red * luma[0]! + green * luma[1]!) + blue * luma[2]!);
    }
    const small = resizeFloats(plane, whole.width, whole.height, size);
    for (let at = 0; at < small.length; at++) {
      tensor[at * contract.channels + channel] = Math.min(255, Math.max(0, roundHalfEven(small[at]!)));
    }
  }
  return [tensor, whole];
}

export interface Plane { width: number; height: number; values: Uint8Array } // RGB, rows from the top

/** Scales a photo so that its longer side is at most `side`, on white, by Pillow's 8-bit bilinear filter. */
function scaleDown(bitmap: ImageBitmap, side: number): Plane {
  const longest = Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((pixels) => longest > side
    ? Math.max(1, Math.floor((2 * pixels * side + longest) / (2 * longest))) : pixels) as [number, number];
  const rows = new Uint8Array(width * bitmap.height * 3), across = weigh(bitmap.width, width);
  const canvas = new OffscreenCanvas(bitmap.width, Math.min(STRIP, bitmap.height));
  const context = canvas.getContext("2d", {willReadFrequently: true})!;
  for (let top = 0; top < bitmap.height; top += STRIP) {
    const count = Math.min(STRIP, bitmap.height - top);
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(bitmap, 0, -top);
    const pixels = context.getImageData(0, 0, bitmap.width, count).data;
    for (let row = 0; row < count; row++) {
      filter(pixels, row * bitmap.width * 4, 4, rows, (top + row) * width * 3, 3, across);
    }
  }
  if (height === bitmap.height) return {width, height, values: rows};
  const values = new Uint8Array(width * height * 3), down = weigh(bitmap.height, height);
  for (let column = 0; column < width; column++) {
    filter(rows, column * 3, width * 3, values, column * 3, width * 3, down);
  }
  return {width, height, values};
}

interface Weights { first: Int32Array; weights: Float64Array[]; fixed: Int32Array[] }

/** Computes Pillow's weights of the antialiased bilinear filter (`precompute_coeffs` in its Resample.c). */
function weigh(from: number, to: number): Weights {
  const scale = from / to, stretch = Math.max(scale, 1), first = new Int32Array(to);
  const weights: Float64Array[] = [], fixed: Int32Array[] = [];
  for (let at = 0; at < to; at++) {
    const center = (at + 0.5) * scale;
    const begin = Math.max(0, Math.trunc(center - stretch + 0.5));
    const end = Math.min(from, Math.trunc(center + stretch + 0.5));
    const each = new Float64Array(end - begin);
    for (let n = 0; n < each.length; n++) {
      each[n] = Math.max(0, 1 - Math.abs((n + begin - center + 0.5) * (1 / stretch)));
    }
    const sum = each.reduce((total, weight) => total + weight, 0);
    first[at] = begin;
    weights.push(each.map((weight) => weight / sum));
    fixed.push(Int32Array.from(weights[at]!, (weight) => Math.trunc(0.5 + weight * (1 << BITS))));
  }
  return {first, weights, fixed};
}

/** Filters one line of RGB pixels; a step is the distance of two pixels of the line in memory. */
function filter(
  source: ArrayLike<number>, from: number, step: number, target: Uint8Array, to: number, toStep: number, {first, fixed}: Weights,
): void {
  for (let at = 0; at < fixed.length; at++) {
    const weights = fixed[at]!, begin = from + first[at]! * step;
    for (let channel = 0; channel < 3; channel++) {
      let sum = 1 << (BITS - 1);
      for (let n = 0, place = begin + channel; n < weights.length; n++, place += step) sum += source[place]! * weights[n]!;
      target[to + at * toStep + channel] = Math.min(255, sum >> BITS);
    }
  }
}

/** Resizes a plane of floats to a square, first its rows, then its columns, with float32 between the two. */
function resizeFloats(plane: Float32Array, width: number, height: number, size: number): Float32Array {
  const rows = new Float32Array(size * height), across = weigh(width, size), down = weigh(height, size);
  for (let row = 0; row < height; row++) {
    for (let at = 0; at < size; at++) rows[row * size + at] = dot(plane, row * width + across.first[at]!, 1, across.weights[at]!);
  }
  const small = new Float32Array(size * size);
  for (let row = 0; row < size; row++) {
    for (let at = 0; at < size; at++) small[row * size + at] = dot(rows, down.first[row]! * size + at, size, down.weights[row]!);
  }
  return small;
}

function dot(values: Float32Array, from: number, step: number, weights: Float64Array): number {
  let sum = 0;
  for (let n = 0; n < weights.length; n++) sum += values[from + n * step]! * weights[n]!;
  return sum;
}

export function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
