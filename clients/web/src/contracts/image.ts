/** Turns a photo into the model's input as `edgeline/edge/contracts/image.py` does, in the same arithmetic. */
import {Refused} from "../refusal";
import {readDeepPng} from "./deep_png";

export interface ImageContract {
  version: number; kind: "image"; image_size: number; channels: number; color: string; luma: number[];
  max_side: number; resize: string; rounding: string; orientation: string; transparency: string;
  levels?: number[]; // that become 0 and 255 in photos of 16 bits
}
const STRIP = 512; // rows that are read at once: a phone may not have a canvas for 48 megapixels
const BITS = 22; // of Pillow's fixed-point weights
const KNOWN = {resize: "bilinear-antialias", rounding: "nearest-uint8", orientation: "upright",
  transparency: "on-white"} as const;

export function checkImage(contract: ImageContract): void {
  const known = {version: contract.levels ? 4 : 3, ...KNOWN};
  const wrong = Object.entries(known).find(([key, value]) => contract[key as keyof ImageContract] !== value);
  if (wrong) throw new Refused("contract", {key: wrong[0], value: String(contract[wrong[0] as keyof ImageContract])});
}

/** Returns uint8 values, [image_size, image_size, channels], and the upright photo, scaled to `max_side`. */
export async function preprocessImage(photo: Blob, contract: ImageContract): Promise<[Uint8Array, Plane]> {
  let bitmap: ImageBitmap;
  try {
    const deep = await readDeepPng(new Uint8Array(await photo.arrayBuffer()), contract.levels);
    bitmap = await createImageBitmap(deep ?? photo, {colorSpaceConversion: "none", premultiplyAlpha: "default"});
  } catch {
    throw new Refused("photo", {bytes: photo.size, type: photo.type || "?"});
  }
  const whole = scaleDown(bitmap, contract.max_side);
  bitmap.close();
  const {image_size: size, channels} = contract, luma = contract.luma.map(Math.fround);
  const plane = Float32Array.from({length: whole.values.length / (channels === 3 ? 1 : 3)}, (_, at) => channels === 3 ? whole.values[at]!
    : Math.fround(Math.fround(whole.values[3 * at]! * luma[0]! + whole.values[3 * at + 1]! * luma[1]!) + whole.values[3 * at + 2]! * luma[2]!));
  const rows = new Float32Array(size * whole.height * channels), small = new Float32Array(size * size * channels);
  const across = weigh(whole.width, size), down = weigh(whole.height, size);
  for (let row = 0; row < whole.height; row++) filter(plane, row * whole.width * channels, channels, rows, row * size * channels, channels, channels, across);
  for (let column = 0; column < size; column++) filter(rows, column * channels, size * channels, small, column * channels, size * channels, channels, down);
  return [Uint8Array.from(small, (value) => Math.min(255, Math.max(0, roundHalfEven(value)))), whole];
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
    for (let row = 0; row < count; row++) filter(pixels, row * bitmap.width * 4, 4, rows, (top + row) * width * 3, 3, 3, across);
  }
  if (height === bitmap.height) return {width, height, values: rows};
  const values = new Uint8Array(width * height * 3), down = weigh(bitmap.height, height);
  for (let column = 0; column < width; column++) filter(rows, column * 3, width * 3, values, column * 3, width * 3, 3, down);
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

/**
 * Filters one line of pixels; a step is the distance of two pixels of the line in memory. Levels are summed and
 * rounded in fixed point, floats in double precision, as Pillow does.
 */
function filter(
  source: ArrayLike<number>, from: number, step: number, target: Uint8Array | Float32Array, to: number, toStep: number, channels: number,
  {first, weights, fixed}: Weights,
): void {
  const levels = target instanceof Uint8Array;
  for (let at = 0; at < weights.length; at++) {
    const each = levels ? fixed[at]! : weights[at]!, begin = from + first[at]! * step;
    for (let channel = 0; channel < channels; channel++) {
      let sum = levels ? 1 << (BITS - 1) : 0;
      for (let n = 0, place = begin + channel; n < each.length; n++, place += step) sum += source[place]! * each[n]!;
      target[to + at * toStep + channel] = levels ? Math.min(255, sum >> BITS) : sum;
    }
  }
}

export function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
