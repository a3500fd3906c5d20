/** A bundle on this phone: its files, and the proof that this very phone gives the golden answers. */
import {parseContract, preprocess, type Content, type Contract} from "./contracts";
import {checkText} from "./contracts/tokens";
import {EdgeModel} from "./model";
import {Refused} from "./refusal";
import type {Manifest} from "./release";
import {say} from "./words";

export type Files = Record<string, ArrayBuffer>; // by path in the bundle
export interface Answer { label: string; scores: [string, number][]; odd: string[]; ms: number; photo?: Blob }
export interface Proof { vectors: number; ms: number; values: number; close: number; decisions: number; inference: number }
interface Golden {
  kind: string; contract_version: number; dtype: "uint8" | "float32" | "int32"; shape: number[];
  tolerance: {step: number; share: number; most: number}; score_tolerance: Record<string, number>;
  examples: {label: string; scores: Record<string, number[]>; unlike?: Record<string, number>; unlike_input?: number; content?: string | Record<string, string | string[]>; file?: string}[];
}

const UNLIKE_APART = 1e-4; // as Python's UNLIKE_TOLERANCE
const decode = (content: ArrayBuffer): string => new TextDecoder("utf-8", {fatal: true}).decode(content);

/** Returns the paths of the files that this page needs of a bundle. */
export function listNeeded(manifest: Manifest): string[] {
  const home = `edge/${manifest.model}/${manifest.version}/`;
  const wanted = ["labels.txt", "preprocessing.json", findVariant(manifest).file];
  const golden = manifest.files.filter((each) => each.path.startsWith(`${home}golden/`));
  return [...wanted, ...golden.map((each) => each.path.slice(home.length))];
}

function findVariant(manifest: Manifest) {
  return manifest.variants.find((each) => each.name === manifest.default_variant)!;
}

export class Bundle {
  private constructor(
    readonly manifest: Manifest, readonly contract: Contract, readonly labels: string[], private readonly model: EdgeModel,
    private readonly files: Files,
  ) {}

  static async open(manifest: Manifest, files: Files): Promise<Bundle> {
    const contract = parseContract(decode(files["preprocessing.json"]!)), variant = findVariant(manifest);
    const labels = decode(files["labels.txt"]!).split("\n").slice(0, -1), outputs = variant.outputs[0]!.shape.at(-1);
    if (labels.length !== outputs) throw new Refused("labels", {labels: labels.length, outputs: outputs ?? 0});
    return new Bundle(manifest, contract, labels, await EdgeModel.load(files[variant.file]!, variant), files);
  }

  get variant(): string { return this.model.variant.name; }

  /** Returns the raw input of a golden vector, to try the page with; undefined if the bundle has none. */
  example(number: number): Content | undefined {
    const golden = this.golden(), each = golden?.examples[number % golden.examples.length];
    return each && (each.file ? new Blob([this.files[`golden/${each.file}`]!], {type: "image/jpeg"}) : each.content!);
  }

  private golden(): Golden | undefined {
    const raw = this.files["golden/golden.json"];
    return raw && JSON.parse(decode(raw)) as Golden;
  }

  async predict(content: Content): Promise<Answer> {
    if (this.contract.kind === "tokens") checkText(content as string);
    const start = performance.now(), {tensor, odd, photo} = await preprocess(content, this.contract);
    const [scores, unlike] = await this.model.predict(tensor), ms = performance.now() - start;
    const ranked = this.labels.map((label, at): [string, number] => [label, scores[at]!]).sort((one, other) => other[1] - one[1]);
    if (!ranked.every(([, score]) => Number.isFinite(score))) throw new Refused("finite");
    if (unlike! > 0.5) odd.push(`${Math.round(unlike! * 100)} %`);
    const answer: Answer = {label: ranked[0]![0], scores: ranked, odd, ms};
    if (photo) {
      const canvas = new OffscreenCanvas(photo.width, photo.height), pixels = new ImageData(photo.width, photo.height);
      for (let at = 0, from = 0; from < photo.values.length; at += 4, from += 3) {
        pixels.data.set(photo.values.subarray(from, from + 3), at);
        pixels.data[at + 3] = 255;
      }
      canvas.getContext("2d")!.putImageData(pixels, 0, 0);
      answer.photo = await canvas.convertToBlob({type: "image/jpeg", quality: 0.95}); // no EXIF, no place
    }
    return answer;
  }

  /** Runs the golden vectors: inputs to tensors, and tensors to scores, each within its tolerance. */
  async prove(): Promise<Proof> {
    const golden = this.golden(), start = performance.now(), proof: Proof = {vectors: 0, ms: 0, values: 0, close: 0, decisions: 0, inference: 0};
    const times: number[] = [];
    if (!golden) {
      const [scores] = await this.model.predict(new Float32Array(this.model.variant.inputs[0]!.shape.reduce((a, b) => a * b)));
      if (!scores.every(Number.isFinite)) throw new Refused("finite");
      return proof;
    }
    if (golden.kind !== this.contract.kind || golden.contract_version !== this.contract.version) throw new Refused("mixed");
    const size = golden.shape.reduce((a, b) => a * b), arrays = {uint8: Uint8Array, float32: Float32Array, int32: Int32Array};
    const tensors = new arrays[golden.dtype](this.files["golden/tensors.bin"]!);
    const {step, share, most} = golden.tolerance, allowed = golden.score_tolerance[this.variant] ?? 0;
    for (const [number, example] of golden.examples.entries()) {
      const name = example.file ?? String(number + 1), expected = tensors.subarray(number * size, (number + 1) * size);
      const {tensor, unlike: ofInput} = await preprocess(this.example(number)!, this.contract);
      let far = tensor.length === size ? 0 : size, largest = 0;
      expected.forEach((value, at) => {
        const apart = Math.abs(tensor[at]! - value);
        if (!(apart <= step)) far++;
        if (!(apart <= largest)) largest = apart;
      });
      if (far > (1 - share) * size + 1e-6 || !(largest <= most)) {
        throw new Refused("golden", {problems: say("tensor", {name, far, size, largest: Number(largest.toPrecision(3))})});
      }
      const odder = example.unlike_input === undefined ? 0 : Math.abs(ofInput! - example.unlike_input);
      if (!(odder <= UNLIKE_APART)) throw new Refused("golden", {problems: say("score", {name, apart: Number(odder.toPrecision(3)), allowed: UNLIKE_APART})});
      const right = example.scores[this.variant] ?? [], began = performance.now();
      const [scores, unlike] = await this.model.predict(expected);
      times.push(performance.now() - began);
      const apart = Math.max(...right.map((score, at) => Math.abs(scores[at]! - score)));
      if (scores.length !== right.length || !(apart <= allowed)) {
        throw new Refused("golden", {problems: say("score", {name, apart: Number(apart.toPrecision(3)), allowed})});
      }
      const off = unlike === undefined ? 0 : Math.abs(unlike - example.unlike![this.variant]!);
      if (!(off <= 4 * allowed)) throw new Refused("golden", {problems: say("score", {name, apart: Number(off.toPrecision(3)), allowed: 4 * allowed})});
      const [decision] = await this.model.predict(tensor);
      proof.decisions += Number(argmax(decision) === argmax(right));
      proof.values += size;
      proof.close += size - far;
      proof.vectors++;
    }
    proof.inference = times.sort((one, other) => one - other)[times.length >> 1]!;
    return {...proof, ms: performance.now() - start};
  }

  close(): void { this.model.delete(); }
}

function argmax(values: ArrayLike<number>): number {
  return Array.from(values).reduce((best, value, at, all) => value > all[best]! ? at : best, 0);
}
