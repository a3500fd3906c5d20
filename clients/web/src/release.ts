/** The signed pointer and the manifest of a release, and the rules by which a phone accepts them. */
import {Refused} from "./refusal";
import type {Variant} from "./model";

export interface Named { version: number; manifest_sha256: string }
export interface Pointer {
  model: string; counter: number; rollbacks: number; issued: string; expires: string;
  production: Named; candidate?: Named & {percent: number};
}
export interface Manifest {
  model: string; version: number; min_reader_version: number; created: string; expires: string; rollback_epoch?: number;
  signed_by?: string; default_variant: string; variants: Variant[]; files: {path: string; size: number; sha256: string}[];
}
/** What a phone has seen of a store, which no later pointer may fall behind. */
export interface Seen { key: string | null; counter: number; rollbacks: number; epoch: number; version: number; digest: string; pointer?: Pointer }
interface Envelope { payloadType: string; payload: string; signatures: {keyid: string; sig: string}[] }

export const READER_VERSION = 2; // of the manifest's schema
const TYPE = "application/vnd.edgeline.pointer+json", DAY_MS = 86_400_000;

export const isSecure = (): boolean => globalThis.crypto?.subtle !== undefined;

export async function sha256(content: BufferSource): Promise<string> {
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", content))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function isSigned(content: Uint8Array<ArrayBuffer>, signature: Uint8Array<ArrayBuffer>, key: string): Promise<boolean> {
  const raw = Uint8Array.from(key.match(/../g) ?? [], (digits) => parseInt(digits, 16));
  let imported: CryptoKey;
  try {
    imported = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  } catch {
    throw new Refused("browser");
  }
  return crypto.subtle.verify("Ed25519", imported, signature, content);
}

/** Reads current.json. A phone that knows a key accepts no other; else it is given the one that signed. */
export async function readPointer(raw: Uint8Array, key: string | null): Promise<[Pointer, string | null]> {
  let envelope: Envelope, payload: Uint8Array<ArrayBuffer>, pointer: Pointer;
  try {
    envelope = (JSON.parse(new TextDecoder().decode(raw)) as {signed: Envelope}).signed;
    payload = decodeBase64(envelope.payload);
    pointer = JSON.parse(new TextDecoder().decode(payload)) as Pointer;
    if (envelope.payloadType !== TYPE || !(pointer.counter > 0) || !(pointer.production.version > 0)) throw new Error();
  } catch {
    throw new Refused("pointer");
  }
  if (!isSecure()) return [pointer, null];
  const signature = envelope.signatures.find((each) => key === null || each.keyid === key);
  if (!signature) {
    if (key !== null) throw new Refused("signature", {key});
    return [pointer, null];
  }
  const head = new TextEncoder().encode(`DSSEv1 ${TYPE.length} ${TYPE} ${payload.length} `);
  const signed = new Uint8Array(head.length + payload.length);
  signed.set(head);
  signed.set(payload, head.length);
  if (!await isSigned(signed, decodeBase64(signature.sig), signature.keyid)) {
    throw new Refused("signature", {key: signature.keyid});
  }
  return [pointer, signature.keyid];
}

/** Returns the release that the client with this id runs: a share of them runs the candidate, by a hash of the id. */
export async function chooseRelease({model, production, candidate}: Pointer, client: string): Promise<Named> {
  if (!candidate || !isSecure()) return production;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${model}\n${candidate.version}\n${client}`));
  return Number(new DataView(digest).getBigUint64(0) % 10_000n) / 100 < candidate.percent ? candidate : production;
}

/** Refuses a pointer that is over, of another model, or behind what this phone has seen. */
export function checkPointer(pointer: Pointer, {version}: Named, model: string, seen: Seen | null, now: number): void {
  if (pointer.model !== model) throw new Refused("other", {found: pointer.model, model});
  if (Date.parse(pointer.issued) > now + DAY_MS) throw new Refused("clock", {issued: pointer.issued});
  if (Date.parse(pointer.expires) <= now) throw new Refused("stale", {expires: pointer.expires});
  const list = ({production, candidate}: Pointer): string => JSON.stringify([production, candidate]);
  const changed = seen?.pointer && list(pointer) !== list(seen.pointer);
  if (seen && (pointer.counter < seen.counter || (pointer.counter === seen.counter && changed))) {
    throw new Refused("replayed", {found: pointer.counter, seen: seen.counter});
  }
  if (seen && version < seen.version && pointer.rollbacks <= seen.rollbacks) {
    throw new Refused("lower", {version, seen: seen.version});
  }
}

/** Reads manifest.json; the pointer has its digest, and so its signature covers the manifest and all files. */
export async function readManifest(raw: Uint8Array<ArrayBuffer>, pointer: Pointer, {version, manifest_sha256: digest}: Named, seen: Seen | null, now: number): Promise<Manifest> {
  if (isSecure() && await sha256(raw) !== digest) throw new Refused("swapped", {file: "manifest.json"});
  const manifest = JSON.parse(new TextDecoder().decode(raw)) as Manifest;
  if (manifest.min_reader_version > READER_VERSION) throw new Refused("newer", {version: manifest.min_reader_version});
  if (manifest.model !== pointer.model || manifest.version !== version) throw new Refused("swapped", {file: "manifest.json"});
  if (Date.parse(manifest.expires) <= now) throw new Refused("expired", {version, expires: manifest.expires});
  if ((manifest.rollback_epoch ?? 0) < (seen?.epoch ?? 0)) {
    throw new Refused("epoch", {version, found: manifest.rollback_epoch ?? 0, seen: seen!.epoch});
  }
  return manifest;
}

/** Compares a file of the bundle with the manifest; on plain http, only its size. */
export async function checkFile(content: Uint8Array<ArrayBuffer>, name: string, manifest: Manifest): Promise<void> {
  const entry = manifest.files.find((each) => each.path === `edge/${manifest.model}/${manifest.version}/${name}`);
  if (!entry) throw new Refused("swapped", {file: name});
  if (content.length !== entry.size) throw new Refused("truncated", {file: name, found: content.length, size: entry.size});
  if (isSecure() && await sha256(content) !== entry.sha256) throw new Refused("swapped", {file: name});
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
