/** Requests that end: each has a deadline for the whole of it, the body included, and a bound on its bytes. */
import {Refused} from "./refusal";

export const DOCUMENT_BYTES = 4_000_000, DOCUMENT_SECONDS = 30; // of current.json, manifest.json and phone.json
export const RUNTIME_BYTES = 10_000_000; // of a file of LiteRT.js
const SLOWEST = 10_000, MOST_SECONDS = 3600; // bytes a second that a network has to give

export interface Bounds { file: string; most: number; seconds: number } // `file` is its name in a refusal
export interface Download { content: Uint8Array<ArrayBuffer>; type: string }

export const bindDocument = (file: string): Bounds => ({file, most: DOCUMENT_BYTES, seconds: DOCUMENT_SECONDS});

/** Returns how long files of so many bytes may take together. */
export const allowSeconds = (bytes: number): number => Math.min(DOCUMENT_SECONDS + Math.ceil(bytes / SLOWEST), MOST_SECONDS);

/**
 * Returns the body of a response and its type, or null if the server has no such file.
 *
 * Throws Refused `slow` or `large`, and TypeError if the network is away or the server is ill.
 */
export async function download(request: RequestInfo, {file, most, seconds}: Bounds, cache: RequestCache = "default"): Promise<Download | null> {
  const controller = new AbortController(), {signal} = controller;
  let isOver = false;
  const timer = setTimeout(() => { isOver = true; controller.abort(); }, seconds * 1000);
  try {
    const response = await fetch(request, {cache, signal});
    if (response.status === 404) return null;
    if (!response.ok) throw new TypeError(response.statusText);
    return {content: await readBody(response, file, most), type: response.headers.get("Content-Type") ?? ""};
  } catch (error) {
    throw isOver ? new Refused("slow", {file, seconds}) : error;
  } finally {
    clearTimeout(timer);
    controller.abort(); // a body that is too long, or that nobody reads, is not sent on
  }
}

/** Returns the body of a response that there has to be. Throws only Refused: also `missing`, and `broken` without network. */
export async function downloadRequired(request: RequestInfo, bounds: Bounds, cache?: RequestCache): Promise<Uint8Array<ArrayBuffer>> {
  const answer = await download(request, bounds, cache).catch((error: unknown) => {
    throw error instanceof Refused ? error : new Refused("broken", {file: bounds.file});
  });
  if (!answer) throw new Refused("missing", {file: bounds.file});
  return answer.content;
}

async function readBody(response: Response, file: string, most: number): Promise<Uint8Array<ArrayBuffer>> {
  const reader = response.body!.getReader(), parts: Uint8Array[] = [];
  let size = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    size += part.value.length;
    if (size > most) throw new Refused("large", {file, most});
  }
  const content = new Uint8Array(size);
  for (let at = 0, number = 0; number < parts.length; at += parts[number++]!.length) content.set(parts[number]!, at);
  return content;
}
