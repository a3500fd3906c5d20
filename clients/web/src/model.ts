/** Runs an edge file with LiteRT.js on the processor; on WebGPU, int8 and small files are slower or fall back. */
import {loadAndCompile, loadLiteRt, supportsFeature, Tensor, type CompiledModel} from "@litertjs/core";
import {roundHalfEven} from "./contracts/image";
import {allowSeconds, downloadRequired, RUNTIME_BYTES} from "./download";
import {Refused} from "./refusal";

interface TensorSpec { shape: number[]; dtype: string; scale: number | null; zero_point: number | null }
export interface Variant { name: string; file: string; inputs: TensorSpec[]; outputs: TensorSpec[] }

let loading: Promise<unknown> | undefined, tries = 0;

export class EdgeModel {
  private constructor(private readonly compiled: CompiledModel, readonly variant: Variant) {}

  /** Loads a file, whose digest was checked before: an interpreter trusts what it reads. */
  static async load(content: ArrayBuffer, variant: Variant): Promise<EdgeModel> {
    try {
      // Without network it fails; the next look tries again.
      await (loading ??= loadRuntime().catch((error: unknown) => { loading = undefined; throw error; }));
      return new EdgeModel(await loadAndCompile(new Uint8Array(content), {accelerator: "wasm"}), variant);
    } catch (error) {
      if (error instanceof Refused) throw error;
      throw new Refused("model", {file: variant.file, why: String(error).slice(0, 200)});
    }
  }

  /** Returns the probabilities for a tensor that `preprocess` made, and how unlike training it is, 0 to 1, if the file says so. */
  async predict(values: ArrayLike<number>): Promise<[Float32Array, number?]> {
    const {outputs} = this.variant, input = this.variant.inputs[0]!;
    const given = new Tensor(quantise(values, input) as Float32Array, input.shape);
    let results: Tensor[] = [];
    try {
      results = await this.compiled.run([given]);
      const [scores, unlike] = outputs.map((output, at) => dequantise(results[at]!.toTypedArray(), output));
      return [scores!, unlike?.[0]];
    } finally {
      for (const tensor of [given, ...results]) tensor.delete();
    }
  }

  delete(): void { this.compiled.delete(); }
}

/** Loads LiteRT.js within a deadline, which the requests that it makes by itself do not have. */
async function loadRuntime(): Promise<void> {
  const name = await supportsFeature("relaxedSimd") ? "litert_wasm_internal" : "litert_wasm_compat_internal";
  const file = `wasm/${name}.js`, wasm = `wasm/${name}.wasm`, seconds = allowSeconds(RUNTIME_BYTES);
  const content = await downloadRequired(wasm, {file: wasm, most: RUNTIME_BYTES, seconds});
  Object.assign(globalThis, {Module: {wasmBinary: content.buffer}}); // Emscripten takes it from there

  // It waits for its script without end, and takes no other meanwhile; nor does a browser ask again for the same address.
  const script = new URL(tries ? `${file}?${tries}.js` : file, document.baseURI).href;
  tries++;
  let isOver = false;
  const timer = setTimeout(() => { isOver = true; document.querySelector(`script[src="${script}"]`)?.dispatchEvent(new Event("error")); }, seconds * 1000);
  try {
    await loadLiteRt(script);
  } catch (error) {
    if (error instanceof Event) throw new Refused(isOver ? "slow" : "broken", {file, seconds});
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

function quantise(values: ArrayLike<number>, {dtype, scale, zero_point}: TensorSpec): Int32Array | Float32Array | Int8Array | Uint8Array {
  if (dtype === "uint8") return new Uint8Array(values); // a photo's levels
  if (dtype === "int32") return new Int32Array(values);
  if (dtype === "float32") return new Float32Array(values);
  const step = Math.fround(scale ?? 1), zero = zero_point ?? 0, levels = new Int8Array(values.length);
  for (let at = 0; at < levels.length; at++) {
    levels[at] = Math.min(127, Math.max(-128, roundHalfEven(Math.fround(Math.fround(values[at]!) / step)) + zero));
  }
  return levels;
}

function dequantise(values: ArrayLike<number>, {dtype, scale, zero_point}: TensorSpec): Float32Array {
  const step = Math.fround(scale ?? 1), zero = zero_point ?? 0;
  return dtype === "float32" ? new Float32Array(values) : Float32Array.from(values, (value) => (value - zero) * step);
}
