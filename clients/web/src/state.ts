/** What this phone keeps: the last good bundle, what it has seen of the store, and the audit trail. */
import type {Files, Proof} from "./bundle";
import {Refused} from "./refusal";
import type {Manifest, Seen} from "./release";

/** The last good bundle; `keys` are those that this phone trusts, which pages before had not: they trusted that of `seen`. */
export interface Kept { seen: Seen; manifest: Manifest; files: Files; proof: Proof; keys?: string[] }
export interface Entry {
  id?: number; at: string; version: number; variant: string; said: string; score: number; label: string; chosen: "" | "random" | "person";
  content: Blob | string | Record<string, string | string[]>;
}

export class State {
  private constructor(private readonly database: IDBDatabase) {}

  /** Opens the state of a model at a place. */
  static async open(place: string, model: string): Promise<State> {
    // Earlier pages had one for all models: the model that it is of goes on with it, as do answers of no kept model.
    const earlier = await State.openNamed(place), kept = await earlier.kept();
    if (kept ? kept.manifest.model === model : (await earlier.answers()).length) return earlier;
    earlier.database.close();
    return State.openNamed(`${place} ${model}`);
  }

  private static async openNamed(name: string): Promise<State> {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => {
      request.result.createObjectStore("kept");
      request.result.createObjectStore("answers", {keyPath: "id", autoIncrement: true});
    };
    return new State(await wait(request));
  }

  private store(name: "kept" | "answers", mode: IDBTransactionMode): IDBObjectStore {
    return this.database.transaction(name, mode).objectStore(name);
  }

  async kept(): Promise<Kept | null> {
    return await wait(this.store("kept", "readonly").get("bundle") as IDBRequest<Kept | undefined>) ?? null;
  }

  /** Replaces the bundle, and with it the one before: both, or on a full disk neither. */
  async keep(kept: Kept): Promise<void> {
    const store = this.store("kept", "readwrite"), {transaction} = store;
    store.put(kept, "bundle");
    await new Promise<void>((resolve, reject) => {
      transaction.oncomplete = () => resolve();
      transaction.onabort = () => reject(isFull(transaction.error) ? new Refused("room") : transaction.error);
    });
  }

  /** Returns when the store last had a pointer that this phone accepted, in milliseconds; null if no page has kept it. */
  async checked(): Promise<number | null> {
    return await wait(this.store("kept", "readonly").get("checked") as IDBRequest<number | undefined>) ?? null;
  }
  async check(now: number): Promise<void> {
    try {
      await wait(this.store("kept", "readwrite").put(now, "checked"));
    } catch (error) {
      if (!(error instanceof Refused)) throw error; // a full phone goes on
    }
  }

  async answers(): Promise<Entry[]> { return wait(this.store("answers", "readonly").getAll() as IDBRequest<Entry[]>); }
  async write(entry: Entry): Promise<void> { entry.id = Number(await wait(this.store("answers", "readwrite").put(entry))); }
  async clear(): Promise<void> { await wait(this.store("answers", "readwrite").clear()); }
}

const isFull = (error: DOMException | null): boolean => error?.name === "QuotaExceededError";

function wait<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(isFull(request.error) ? new Refused("room") : request.error);
  });
}
