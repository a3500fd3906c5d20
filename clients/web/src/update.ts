/** Follows a store: checks what it has, proves it on this phone, and only then switches. */
import {Bundle, listNeeded, type Files} from "./bundle";
import {allowSeconds, bindDocument, download, downloadRequired} from "./download";
import {Refused} from "./refusal";
import {checkFile, findFile, isSecure, readCurrent, readManifest, type Manifest, type Seen} from "./release";
import type {Kept, State} from "./state";

/** The content of phone.json; `keys` are trusted, the oldest first, and `expired` is what a release that is over does. */
export interface Config { model: string; keys: string[]; store: string; expired: "warn" | "refuse" }
/** Whether the store had a good pointer, and a new bundle that was proven and kept, if it has one. */
export interface Outcome { answered: boolean; switched?: [Bundle, Kept] }

/** Returns the keys that this phone trusts, the oldest first: once it has some, others need a person. */
export function listTrusted(config: Config, kept: Kept | null): string[] {
  return kept?.keys ?? (kept?.seen.key ? [kept.seen.key] : config.keys);
}

/** Asks the store. Throws Refused where it has something that this phone does not accept. */
export async function update(config: Config, state: State | null, client: string, opens = true, now = Date.now()): Promise<Outcome> {
  const kept = await state?.kept() ?? null, seen = kept?.seen ?? null, trusted = listTrusted(config, kept);
  const raw = await fetchPointer(config.store);
  if (raw === null) return {answered: false};
  const {pointer, key, release} = await readCurrent(raw, config.model, trusted, seen, client, now);
  const {version, manifest_sha256: digest} = release, epoch = seen && seen.key === key && key !== null ? seen.epoch : 0;
  if (state && isSecure()) await state.check(now);

  const keys = trusted.length || key === null ? trusted : [key];
  const next: Seen = {key, counter: pointer.counter, rollbacks: pointer.rollbacks, epoch, version, digest, pointer};
  if (kept && opens && seen!.digest === digest) {
    const same: Kept = {...kept, seen: {...next, epoch: kept.manifest.rollback_epoch ?? 0}, keys};
    if (JSON.stringify(same.seen) !== JSON.stringify(seen)) await state!.keep(same);
    return {answered: true};
  }

  const document = await downloadRequired(`${config.store}/${version}/manifest.json`, bindDocument("manifest.json"), "no-cache");
  const manifest = await readManifest(document, pointer, release, epoch, now), files = await fetchFiles(config.store, manifest);
  const bundle = await Bundle.open(manifest, files);
  try {
    const proof = await bundle.prove();
    const result: Kept = {seen: {...next, epoch: manifest.rollback_epoch ?? 0}, manifest, files, proof, keys};
    if (state && isSecure()) await state.keep(result);
    return {answered: true, switched: [bundle, result]};
  } catch (error) {
    bundle.close();
    throw error;
  }
}

/** Returns current.json, or null without network: what is here goes on. */
async function fetchPointer(store: string): Promise<Uint8Array<ArrayBuffer> | null> {
  let answer;
  try {
    answer = await download(`${store}/current.json`, bindDocument("current.json"), "no-store");
  } catch (error) {
    if (error instanceof Refused && error.reason !== "slow") throw error;
    return null; // a server that is silent or ill is as one that is away
  }
  if (!answer) throw new Refused("missing", {file: "current.json"});
  return answer.content;
}

/** Returns the files of a release that this page needs, all as the manifest has them. */
async function fetchFiles(store: string, manifest: Manifest): Promise<Files> {
  const entries = listNeeded(manifest).map((name) => ({name, entry: findFile(manifest, name)}));
  const seconds = allowSeconds(entries.reduce((sum, {entry}) => sum + entry.size, 0)); // they come side by side
  const files: Files = {};
  await Promise.all(entries.map(async ({name, entry}) => {
    const content = await downloadRequired(`${store}/${manifest.version}/${name}`, {file: name, most: entry.size, seconds}, "no-cache");
    await checkFile(content, name, entry);
    files[name] = content.buffer;
  }));
  return files;
}
