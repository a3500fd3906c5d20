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
interface Envelope { payload: Uint8Array<ArrayBuffer>; signatures: {keyid: string; sig: string}[] }

export const READER_VERSION = 2; // of the manifest's schema
const TYPE = "application/vnd.edgeline.pointer+json", DAY_MS = 86_400_000, MOST_SIGNATURES = 8;
const DIGEST = /^[0-9a-f]{64}$/, TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(Z|[+-]\d\d:\d\d)?)?$/;

export const isSecure = (): boolean => globalThis.crypto?.subtle !== undefined;

export async function sha256(content: BufferSource): Promise<string> {
  return [...new Uint8Array(await crypto.subtle.digest("SHA-256", content))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function isSigned(content: Uint8Array<ArrayBuffer>, signature: string, key: string): Promise<boolean> {
  const raw = Uint8Array.from(key.match(/../g) ?? [], (digits) => parseInt(digits, 16));
  let imported: CryptoKey, decoded: Uint8Array<ArrayBuffer>;
  try {
    decoded = decodeBase64(signature);
  } catch {
    return false;
  }
  try {
    imported = await crypto.subtle.importKey("raw", raw, "Ed25519", false, ["verify"]);
  } catch {
    throw new Refused("browser");
  }
  return crypto.subtle.verify("Ed25519", imported, decoded, content);
}

/**
 * Reads current.json as a phone that trusts these keys, the oldest first, and returns what it names for this client.
 *
 * Without keys, the one that signed the last pointer is required; after one of several, no older one is accepted.
 */
export async function readCurrent(raw: Uint8Array, model: string, keys: string[], seen: Seen | null, client: string, now: number): Promise<{pointer: Pointer; key: string | null; release: Named}> {
  const [envelope, pointer] = parseCurrent(raw), last = seen?.key ?? null;
  const trusted = keys.length ? keys.slice(Math.max(0, keys.indexOf(last ?? ""))) : last === null ? [] : [last];
  const key = isSecure() ? await findSigner(envelope, trusted) : null;
  const release = await chooseRelease(pointer, client);
  checkPointer(pointer, release, key, model, seen, now);
  return {pointer, key, release};
}

function parseCurrent(raw: Uint8Array): [Envelope, Pointer] {
  try {
    const {payloadType, payload: text, signatures} = (parseJson(raw) as {signed: {payloadType: unknown; payload: string; signatures: Envelope["signatures"]}}).signed;
    const payload = decodeBase64(text);
    check(payloadType === TYPE && Array.isArray(signatures) && signatures.length <= MOST_SIGNATURES);
    check(signatures.every(({keyid, sig}) => typeof keyid === "string" && DIGEST.test(keyid) && typeof sig === "string"));
    return [{payload, signatures}, parsePointer(parseJson(payload) as Pointer)];
  } catch {
    throw new Refused("pointer");
  }
}

function parsePointer({model, counter, rollbacks, issued, expires, production, candidate}: Pointer): Pointer {
  check(typeof model === "string" && isCount(counter, 1) && isCount(rollbacks, 0) && readTime(expires) > readTime(issued));
  const pointer: Pointer = {model, counter, rollbacks, issued, expires, production: parseNamed(production)};
  if (candidate) {
    const {percent} = candidate;
    check(typeof percent === "number" && percent >= 0.01 && percent <= 99.99);
    pointer.candidate = {...parseNamed(candidate), percent};
  }
  return pointer;
}

function parseNamed({version, manifest_sha256}: Named): Named {
  check(isCount(version, 1) && typeof manifest_sha256 === "string" && DIGEST.test(manifest_sha256));
  return {version, manifest_sha256};
}

const isCount = (value: unknown, least: number): boolean => Number.isInteger(value) && (value as number) >= least;
const parseJson = (content: Uint8Array): unknown => JSON.parse(new TextDecoder("utf-8", {fatal: true}).decode(content));

function check(holds: boolean): asserts holds {
  if (!holds) throw new TypeError("no such pointer");
}

/** Returns a time of a pointer or manifest in milliseconds; without a zone it is in UTC. Throws TypeError for another text. */
export function readTime(text: string): number {
  const [, day, time = "00:00", zone = "Z"] = TIME.exec(text) ?? [], at = Date.parse(`${day}T${time}${zone}`);
  check(!Number.isNaN(at));
  return at;
}

/** Returns the newest of the trusted keys that signed an envelope; where none is required, the first one that did, or null. */
async function findSigner({payload, signatures}: Envelope, trusted: string[]): Promise<string | null> {
  const head = new TextEncoder().encode(`DSSEv1 ${TYPE.length} ${TYPE} ${payload.length} `);
  const content = new Uint8Array(head.length + payload.length);
  content.set(head);
  content.set(payload, head.length);
  const accepted = trusted.length ? trusted : signatures.slice(0, 1).map(({keyid}) => keyid);
  for (const key of [...accepted].reverse()) {
    for (const {keyid, sig} of signatures) {
      if (keyid === key && await isSigned(content, sig, key)) return key;
    }
  }
  if (accepted.length) throw new Refused("signature", {key: accepted.join(", ")});
  return null;
}

/** Returns the release that the client with this id runs: a share of them runs the candidate, by a hash of the id. */
export async function chooseRelease({model, production, candidate}: Pointer, client: string): Promise<Named> {
  if (!candidate || !isSecure()) return production;
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`${model}\n${candidate.version}\n${client}`));
  return Number(new DataView(digest).getBigUint64(0) % 10_000n) / 100 < candidate.percent ? candidate : production;
}

/** Refuses a pointer that is of another model, over, or behind the last one that this phone has seen under the same key. */
function checkPointer(pointer: Pointer, {version}: Named, key: string | null, model: string, seen: Seen | null, now: number): void {
  if (pointer.model !== model) throw new Refused("other", {found: pointer.model, model});
  if (readTime(pointer.issued) > now + DAY_MS) throw new Refused("clock", {issued: pointer.issued});
  if (readTime(pointer.expires) <= now) throw new Refused("stale", {expires: pointer.expires});
  // Whoever has another key, or needs none, could otherwise lock phones out by a huge counter.
  if (!seen || seen.key !== key) return;
  if (key === null) checkUnsigned(pointer, seen);
  else checkSigned(pointer, version, seen);
}

function checkSigned(pointer: Pointer, version: number, seen: Seen): void {
  if (pointer.counter < seen.counter || (pointer.counter === seen.counter && isChanged(pointer, seen))) {
    throw new Refused("replayed", {found: pointer.counter, seen: seen.counter});
  }
  if (version < seen.version && pointer.rollbacks <= seen.rollbacks) {
    throw new Refused("lower", {version, seen: seen.version});
  }
}

/** Without a key, anybody can write any counter: the later pointer wins. */
function checkUnsigned(pointer: Pointer, seen: Seen): void {
  if (!seen.pointer) return; // kept by a page of before
  const apart = readTime(pointer.issued) - readTime(seen.pointer.issued);
  if (apart < 0 || (apart === 0 && isChanged(pointer, seen))) {
    throw new Refused("earlier", {found: pointer.issued, seen: seen.pointer.issued});
  }
}

function isChanged(pointer: Pointer, seen: Seen): boolean {
  const list = ({production, candidate}: Pointer): string =>
    [production, candidate].map((named) => `${named?.version} ${named?.manifest_sha256}`).concat(`${candidate?.percent}`).join();
  return seen.pointer !== undefined && list(pointer) !== list(seen.pointer);
}

/** Reads manifest.json, whose rollback epoch may not be below `epoch`; the pointer has its digest, and so its signature covers all files. */
export async function readManifest(raw: Uint8Array<ArrayBuffer>, pointer: Pointer, {version, manifest_sha256: digest}: Named, epoch: number, now: number): Promise<Manifest> {
  if (isSecure() && await sha256(raw) !== digest) throw new Refused("swapped", {file: "manifest.json"});
  const manifest = JSON.parse(new TextDecoder().decode(raw)) as Manifest;
  if (manifest.min_reader_version > READER_VERSION) throw new Refused("newer", {version: manifest.min_reader_version});
  if (manifest.model !== pointer.model || manifest.version !== version) throw new Refused("swapped", {file: "manifest.json"});
  if (readTime(manifest.expires) <= now) throw new Refused("expired", {version, expires: manifest.expires});
  if ((manifest.rollback_epoch ?? 0) < epoch) throw new Refused("epoch", {version, found: manifest.rollback_epoch ?? 0, seen: epoch});
  return manifest;
}

/** Returns the size and digest of a file of the bundle, by its path there. */
export function findFile(manifest: Manifest, name: string): Manifest["files"][number] {
  const entry = manifest.files.find((each) => each.path === `edge/${manifest.model}/${manifest.version}/${name}`);
  if (!entry) throw new Refused("swapped", {file: name});
  return entry;
}

/** Compares a file of the bundle with the manifest; on plain http, only its size. */
export async function checkFile(content: Uint8Array<ArrayBuffer>, name: string, {size, sha256: digest}: Manifest["files"][number]): Promise<void> {
  if (content.length < size) throw new Refused("truncated", {file: name, found: content.length, size});
  if (isSecure() && await sha256(content) !== digest) throw new Refused("swapped", {file: name});
}

function decodeBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
