/** Follows a store: checks what it has, proves it on this phone, and only then switches. */
import {Bundle, listNeeded, type Files} from "./bundle";
import {Refused} from "./refusal";
import {checkFile, checkPointer, chooseRelease, isSecure, readManifest, readPointer, type Seen} from "./release";
import type {Kept, State} from "./state";

export interface Config { model: string; key: string | null; store: string }

/** Asks the store; returns a new bundle that was proven and kept, or null if there is none, or no network. */
export async function update(config: Config, state: State | null, client: string, opens = true, now = Date.now()): Promise<[Bundle, Kept] | null> {
  const kept = await state?.kept() ?? null, seen = kept?.seen ?? null;
  const get = async (path: string): Promise<Uint8Array<ArrayBuffer> | null> => {
    const response = await fetch(`${config.store}/${path}`, {cache: path === "current.json" ? "no-store" : "no-cache"});
    if (response.status === 404) return null;
    if (!response.ok) throw new TypeError(response.statusText); // the server is ill, as if it were away
    return new Uint8Array(await response.arrayBuffer());
  };
  const require = async (path: string): Promise<Uint8Array<ArrayBuffer>> => {
    const content = await get(path).catch(() => { throw new Refused("broken", {file: path}); });
    if (!content) throw new Refused("missing", {file: path});
    return content;
  };
  const raw = await get("current.json").catch(() => undefined);
  if (raw === undefined) return null; // no network: what is here goes on
  if (raw === null) throw new Refused("missing", {file: "current.json"});
  const [pointer, key] = await readPointer(raw, config.key ?? seen?.key ?? null);
  const release = await chooseRelease(pointer, client), {version, manifest_sha256: digest} = release;
  checkPointer(pointer, release, config.model, seen, now);
  const next: Seen = {key, counter: pointer.counter, rollbacks: pointer.rollbacks, epoch: seen?.epoch ?? 0, version, digest, pointer};
  if (kept && opens && seen!.digest === digest) {
    if (JSON.stringify(next) !== JSON.stringify(seen)) await state!.keep({...kept, seen: next});
    return null;
  }
  const manifest = await readManifest(await require(`${version}/manifest.json`), pointer, release, seen, now);
  const files: Files = {};
  await Promise.all(listNeeded(manifest).map(async (name) => {
    const content = await require(`${version}/${name}`);
    await checkFile(content, name, manifest);
    files[name] = content.buffer;
  }));
  const bundle = await Bundle.open(manifest, files);
  try {
    const proof = await bundle.prove();
    const result: Kept = {seen: {...next, epoch: manifest.rollback_epoch ?? 0}, manifest, files, proof};
    if (state && isSecure()) await state.keep(result);
    return [bundle, result];
  } catch (error) {
    bundle.close();
    throw error;
  }
}
