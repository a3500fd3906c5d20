/** The service worker: keeps the page itself, so that it opens in flight mode; releases are kept by the page. */
import {allowSeconds, bindDocument, DOCUMENT_BYTES, download, RUNTIME_BYTES} from "./download";

interface ExtendableEvent extends Event { waitUntil(work: Promise<unknown>): void }
interface MessageEvent extends ExtendableEvent { data: unknown }
interface FetchEvent extends Event { request: Request; respondWith(response: Promise<Response>): void }
interface WorkerScope {
  addEventListener(type: "install" | "activate", listener: (event: ExtendableEvent) => void): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
  skipWaiting(): Promise<void>; clients: {claim(): Promise<void>}; registration: {scope: string};
}
declare const BUILD: string;
declare const FILES: string[];
const CONFIG = "phone.json"; // asked of the server first
const WAIT_SECONDS = 5; // for it: a network without an answer is none

const worker = self as unknown as WorkerScope, {scope} = worker.registration, name = `${scope} ${BUILD}`;

worker.addEventListener("install", (event) => event.waitUntil((async () => {
  const cache = await caches.open(name);
  const before = (await caches.keys()).filter((other) => other.startsWith(`${scope} `) && other !== name);
  const kept = (await Promise.all(before.map(async (other) => (await caches.open(other)).keys()))).flat().map(({url}) => url);
  const loaded = new Set(kept.filter((url) => url.startsWith(`${scope}wasm/`)));
  await Promise.all([...FILES, CONFIG].map((file) => add(cache, file, "no-cache")));
  await (await cache.match(CONFIG))!.json(); // in place of a login page, the worker before goes on
  await Promise.all([...loaded].map((url) => add(cache, url, "no-cache").catch(() => {}))); // a new runtime may have others
  await worker.skipWaiting();
})()));

worker.addEventListener("activate", (event) => event.waitUntil((async () => {
  for (const other of await caches.keys()) {
    if (other.startsWith(`${scope} `) && other !== name) await caches.delete(other);
  }
  await worker.clients.claim();
})()));

// The page tells which of the runtime's files this browser loaded: each takes nine megabytes.
worker.addEventListener("message", (event) => event.waitUntil((async () => {
  const cache = await caches.open(name), urls = event.data as string[];
  for (const url of urls) if (url.startsWith(`${scope}wasm/`) && !await cache.match(url)) await add(cache, url);
})()));

async function add(cache: Cache, url: string, mode?: RequestCache): Promise<void> {
  await cache.put(url, await load(url, mode));
}

/** Asks the server for a file of the page. */
async function load(url: string, mode?: RequestCache): Promise<Response> {
  const most = /\bwasm\//.test(url) ? RUNTIME_BYTES : DOCUMENT_BYTES;
  const answer = await download(url, {file: url, most, seconds: allowSeconds(most)}, mode);
  if (!answer) throw new TypeError(`${url} is missing`);
  return new Response(answer.content, {headers: {"Content-Type": answer.type}});
}

worker.addEventListener("fetch", (event) => {
  const path = event.request.url.replace(/[?#].*/, "");
  const file = path.startsWith(scope) ? path.slice(scope.length) || "./" : "";
  if (file === CONFIG) event.respondWith(fetchFirst(event.request));
  else if (FILES.includes(file) || file.startsWith("wasm/")) event.respondWith(caches.match(event.request, {ignoreSearch: true}).then((hit) => hit ?? load(path)));
});

async function fetchFirst(request: Request): Promise<Response> {
  const cache = await caches.open(name);
  try {
    const {content, type} = (await download(request.url, {...bindDocument(CONFIG), seconds: WAIT_SECONDS}, "no-cache"))!;
    JSON.parse(new TextDecoder().decode(content)); // a login page in its place is 200 too
    const response = new Response(content, {headers: {"Content-Type": type}});
    await cache.put(request, response.clone());
    return response;
  } catch (error) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw error;
  }
}
