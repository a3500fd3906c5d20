/** The page: asks the model, shows what of its release was checked, and keeps the auditor's corrections. */
import {Bundle, type Answer} from "./bundle";
import type {Content} from "./contracts";
import {listColumns, type RowContract} from "./contracts/row";
import {bindDocument, download} from "./download";
import {Refused} from "./refusal";
import {isSecure, readTime} from "./release";
import {State, type Entry, type Kept} from "./state";
import {ASKED, exportSpan, parseCsv} from "./trail";
import {listTrusted, update, type Config} from "./update";
import {formatDay, locale, say} from "./words";

const POLL_MS = 15 * 60_000, HOUR_MS = 60 * 60_000, DAY_MS = 24 * HOUR_MS, SHOWN = 20;
// Why a kept bundle is not opened although it is good: the runtime did not come, or not whole.
const RUNTIME = ["model", "broken", "missing", "slow", "large"];

const find = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const show = (id: string, text: string): void => { find(id).textContent = text; find(id).hidden = !text; };
const explain = (error: unknown): string => error instanceof Refused ? say(error.reason, error.facts) : say("failed", {why: String(error)});

class Page {
  private bundle: Bundle | null = null;
  private kept: Kept | null = null;
  private refusal = "";
  private isAway = false; // the store, at the last look
  private checked: number | null = null;
  private evictable = false;
  private entry: Entry | null = null;
  private answering: Promise<unknown> = Promise.resolve();
  private readonly others = new BroadcastChannel(`edgeline ${document.baseURI}`);

  constructor(private readonly config: Config, private readonly state: State) {}

  async start(): Promise<void> {
    this.bind();
    void this.list();
    await this.reload().catch((error: unknown) => { this.refusal = explain(error); });
    this.report(this.kept ? "" : say("loading"));
    await this.look();
    setInterval(() => void this.look(), POLL_MS);
    setInterval(() => this.report(), HOUR_MS); // a release may be over by now
    addEventListener("online", () => void this.look());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) void this.look(); });
    this.others.onmessage = () => void this.reload().then(() => this.report());
  }

  /** Opens the kept bundle, where it is another than the one in use: another tab may have proven it. */
  private async reload(): Promise<void> {
    const kept = await this.state.kept();
    this.checked = await this.state.checked();
    if (kept && kept.seen.digest === this.kept?.seen.digest) this.kept = kept;
    else if (kept) await this.use(await Bundle.open(kept.manifest, kept.files), kept);
  }

  private async use(bundle: Bundle, kept: Kept): Promise<void> {
    const changed = JSON.stringify(bundle.contract) !== JSON.stringify(this.bundle?.contract);
    const before = this.bundle;
    void this.answering.then(() => before?.close()); // it still gives the answers that were asked of it
    [this.bundle, this.kept] = [bundle, kept];
    if (changed) this.buildInput();
    // Not awaited: Firefox asks a person, who may not answer.
    if (isSecure()) void ((navigator.storage as StorageManager | undefined)?.persist?.() ?? Promise.resolve(false)).then((stays) => { this.evictable = !stays; this.report(); });
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    void navigator.serviceWorker?.ready.then((registration) => registration.active?.postMessage(loaded));
  }

  /** Asks the store; only one tab at a time does. With `trust`, a person trusts the keys that phone.json names. */
  async look(trust = false): Promise<void> {
    const work = async (): Promise<string> => {
      // A runtime that could not be loaded is no reason to fetch the release again.
      const opens = await this.reload().then(() => true, (error: unknown) => error instanceof Refused && RUNTIME.includes(error.reason));
      const kept = trust && await this.state.kept();
      if (kept) await this.state.keep({...kept, keys: this.config.keys});
      const {answered, switched} = await update(this.config, this.state, getDevice(), opens);
      this.isAway = !answered;
      if (switched) await this.use(...switched);
      if (switched) this.others.postMessage(switched[1].seen.version);
      await this.reload();
      return "";
    };
    find<HTMLButtonElement>("look").disabled = true;
    try {
      this.refusal = await (navigator.locks ? navigator.locks.request(`edgeline ${document.baseURI}`, work) : work());
    } catch (error) {
      this.refusal = explain(error);
      this.isAway = false;
    }
    find<HTMLButtonElement>("look").disabled = false;
    this.report();
  }

  /** Returns why the release in use is over, in words: its pointer, or itself. */
  private listOver(): string[] {
    const {seen: {pointer, version}, manifest} = this.kept!, isOver = (expires: string): boolean => readTime(expires) <= Date.now();
    const over: string[] = [];
    if (pointer && isOver(pointer.expires)) over.push(say("stale", {expires: pointer.expires}));
    if (isOver(manifest.expires)) over.push(say("expired", {version, expires: manifest.expires}));
    return over;
  }

  /** Asks a person about a key of phone.json that this phone does not trust; it goes on with the one that it does. */
  private reportKeys(): void {
    const trusted = listTrusted(this.config, this.kept), found = this.config.keys.filter((key) => !trusted.includes(key)).at(-1);
    find("rekey").hidden = found === undefined || !isSecure();
    if (found === undefined) return;
    const facts = {found: found.slice(0, 8), key: trusted.at(-1)!.slice(0, 8)};
    show("keys", say("rekey", facts));
    show("trust", say("trust", facts));
  }

  /** Says what is in use, and what was refused; never that all is well where it could not be verified. */
  private report(instead = ""): void {
    const {kept, bundle, refusal, checked} = this, status = find("status"), version = kept?.seen.version ?? 0;
    this.reportKeys();
    if (!kept || !bundle) {
      status.className = refusal ? "wrong" : "";
      status.textContent = refusal ? say("refused", {why: refusal}) : instead || say("empty");
      return;
    }
    const facts = {version, files: Object.keys(kept.files).length, vectors: kept.proof.vectors};
    const sentences = [say(!isSecure() ? "insecure" : kept.seen.key !== null ? "fine" : "unsigned", facts)];
    const {candidate, production} = kept.seen.pointer ?? {};
    if (candidate) sentences.push(say(version === candidate.version ? "candidate" : "production", {...candidate, other: production!.version}));
    if (!kept.proof.vectors) sentences.push(say("unproven"));
    const over = this.listOver(), ends = over.length > 0 && this.config.expired === "refuse";
    if (over.length) sentences.unshift(say(ends ? "ends" : "goeson", {version, why: over.join(" ")}));
    if (refusal && !over.includes(refusal)) sentences.unshift(say("stays", {version, why: refusal}));
    if (checked !== null && (this.isAway || Date.now() - checked > DAY_MS)) sentences.push(say("since", {day: formatDay(checked)}));
    if (this.evictable) sentences.push(say("evictable"));
    find("ask").hidden = ends;
    const fine = isSecure() && kept.seen.key !== null && kept.proof.vectors > 0 && !over.length && !refusal;
    status.className = fine ? "fine" : "wrong";
    status.textContent = sentences.join(" ");
    show("version", `v${version}`);
    show("details", say("details", {...kept.proof, ms: Math.round(kept.proof.ms), inference: kept.proof.inference.toFixed(2), model: kept.manifest.model, version, variant: bundle.variant,
      created: kept.manifest.created, expires: kept.manifest.expires, key: kept.seen.key ?? "–"}));
  }

  private buildInput(): void {
    const {contract} = this.bundle!, place = find("input"), go = find("go");
    place.replaceChildren();
    go.hidden = contract.kind === "image";
    if (contract.kind === "image") {
      const camera = make("button", {type: "button", id: "camera", className: "main", onclick: () => void this.useCamera(camera)}, say("camera"));
      camera.hidden = !navigator.mediaDevices; // over plain http there are none
      place.append(make("div", {className: "row"}, camera, makeFile("file", "image/*", (file) => this.ask(file))));
    } else if (contract.kind === "tokens") {
      place.append(makeField("text", say("text"), make("textarea", {})));
    } else {
      for (const name of listColumns(contract)) place.append(makeField(`cell ${name}`, name, make("input", {})));
      if (contract.readings > 1) place.prepend(make("p", {className: "quiet"}, say("readings", {readings: contract.readings})));
      place.append(makeFile("table", ".csv,.tsv,.txt,text/*", async (file) => this.fill(readTable(await file.text(), contract))));
    }
  }

  private read(): Content {
    const {contract} = this.bundle!;
    if (contract.kind !== "row") return find<HTMLTextAreaElement>("text").value;
    return Object.fromEntries(listColumns(contract).map((name) => {
      const {value} = find<HTMLInputElement>(`cell ${name}`);
      return [name, contract.readings > 1 ? value.split(";") : [value]];
    }));
  }

  private fill(content: Content): void {
    if (typeof content === "string") find<HTMLTextAreaElement>("text").value = content;
    else if (!(content instanceof Blob)) {
      for (const [name, cells] of Object.entries(content)) {
        const field = document.getElementById(`cell ${name}`) as HTMLInputElement | null;
        if (field) field.value = [cells].flat().join("; ");
      }
    }
  }

  /** Shows the camera, and at the second press takes a photo, without losses. */
  private async useCamera(button: HTMLButtonElement): Promise<void> {
    const video = find<HTMLVideoElement>("video");
    try {
      if (video.hidden) {
        video.srcObject = await navigator.mediaDevices.getUserMedia({video: {facingMode: "environment", width: {ideal: 1280}}});
        await video.play();
        video.hidden = false;
        button.textContent = say("take");
        return;
      }
      const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
      canvas.getContext("2d")!.drawImage(video, 0, 0);
      await this.ask(await canvas.convertToBlob({type: "image/png"}));
    } catch (error) {
      show("problem", say("nocamera", {why: String(error)}));
    }
    (video.srcObject as MediaStream | null)?.getTracks().forEach((track) => track.stop());
    video.hidden = true;
    button.textContent = say("camera");
  }

  private async ask(content: Content): Promise<void> {
    this.report();
    if (find("ask").hidden) return; // it has ended since
    const bundle = this.bundle!;
    show("problem", "");
    find("answer").hidden = true;
    try {
      const asked = bundle.predict(content);
      this.answering = Promise.allSettled([this.answering, asked]).then(() => {});
      const answer = await asked;
      const entry: Entry = {at: new Date().toISOString().replace(/\.\d+/, ""), version: bundle.manifest.version, variant: bundle.variant, said: answer.label,
        score: answer.scores[0]![1], label: "", chosen: Math.random() < ASKED ? "random" : "", content: answer.photo ?? content as string};
      // On a full phone an answer is still shown, though it is not kept.
      await this.state.write(entry).catch((error: unknown) => show("problem", explain(error)));
      this.entry = entry;
      this.showAnswer(answer, bundle);
      await this.list();
    } catch (error) {
      show("problem", explain(error));
    }
  }

  private showAnswer(answer: Answer, bundle: Bundle): void {
    const image = find<HTMLImageElement>("shown"), entry = this.entry!;
    image.hidden = !answer.photo;
    if (answer.photo) setImage(image, answer.photo);
    show("label", answer.label);
    show("odd", answer.odd.length ? say("odd", {what: answer.odd.join(", ")}) : "");
    find("scores").replaceChildren(...answer.scores.slice(0, 5).map(([label, score]) => {
      const line = make("li", {}, make("span", {}, label), make("span", {}, score.toFixed(3)));
      line.style.setProperty("--share", `${score * 100}%`);
      return line;
    }));
    show("took", say("took", {ms: answer.ms.toFixed(1), version: entry.version, variant: bundle.variant}));
    show("drawn", entry.chosen ? say("drawn") : "");
    show("saved", "");
    find<HTMLSelectElement>("right").replaceChildren(...bundle.labels.map((label) => new Option(label, label, false, label === answer.label)));
    find("answer").hidden = false;
    find("answer").scrollIntoView({block: "nearest"});
  }

  private async list(): Promise<void> {
    const entries = await this.state.answers(), checked = entries.filter((entry) => entry.label).length;
    show("counts", entries.length ? say("counts", {count: entries.length, checked}) : say("none"));
    for (const id of ["export", "clear"]) find<HTMLButtonElement>(id).disabled = !entries.length;
    find("entries").replaceChildren(...entries.slice(-SHOWN).reverse().map((entry) => {
      const image = make("img", {alt: ""}), said = `${entry.said} ${entry.score.toFixed(2)}`;
      if (entry.content instanceof Blob) setImage(image, entry.content);
      const text = `${new Date(entry.at).toLocaleString()} · v${entry.version} · ${entry.label ? say("corrected", {said, label: entry.label}) : said}`;
      return make("li", {}, ...entry.content instanceof Blob ? [image] : [], make("span", {}, text));
    }));
  }

  private bind(): void {
    const texts = {go: "go", example: "example", save: "save", trailname: "trail", export: "export", clear: "clear", look: "look"};
    for (const [id, word] of Object.entries(texts)) find(id).textContent = say(word);
    document.querySelector("#check label")!.textContent = say("right");
    document.querySelector("summary")!.textContent = say("about");
    document.documentElement.lang = locale;
    document.title = find("model").textContent = this.config.model;
    let number = 0;
    find("look").onclick = () => void this.look();
    find("trust").onclick = () => void this.look(true);
    find("ask").onsubmit = (event) => { event.preventDefault(); void this.ask(this.read()); };
    find("example").onclick = () => {
      const content = this.bundle!.example(number++);
      if (content === undefined) return;
      this.fill(content);
      if (content instanceof Blob) void this.ask(content);
    };
    find("check").onsubmit = (event) => {
      event.preventDefault();
      const entry = this.entry!;
      entry.label = find<HTMLSelectElement>("right").value;
      entry.chosen ||= "person";
      void this.state.write(entry).then(() => { show("saved", say("saved", {label: entry.label})); return this.list(); })
        .catch((error: unknown) => show("problem", explain(error)));
    };
    find("export").onclick = async () => {
      const zip = await exportSpan(await this.state.answers(), this.config.model, getDevice());
      make("a", {href: URL.createObjectURL(zip), download: `${this.config.model}-${getDevice()}-${new Date().toISOString().slice(0, 10)}.zip`}).click();
    };
    find("clear").onclick = async () => {
      if (confirm(say("sure", {count: (await this.state.answers()).length}))) await this.state.clear();
      await this.list();
    };
  }
}

function make<K extends keyof HTMLElementTagNameMap>(tag: K, values: Partial<HTMLElementTagNameMap[K]>, ...children: (Node | string)[]): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), values);
  element.append(...children);
  return element;
}

function makeField(id: string, name: string, field: HTMLInputElement | HTMLTextAreaElement): HTMLLabelElement {
  return make("label", {className: "field"}, make("span", {}, name), Object.assign(field, {id, autocomplete: "off"}));
}

function makeFile(word: string, accept: string, use: (file: File) => unknown): HTMLLabelElement {
  const input = make("input", {type: "file", id: word, accept});
  input.onchange = () => { if (input.files?.[0]) void use(input.files[0]); input.value = ""; };
  return make("label", {className: "button"}, say(word), input);
}

function setImage(image: HTMLImageElement, photo: Blob): void {
  image.src = URL.createObjectURL(photo);
  image.onload = () => URL.revokeObjectURL(image.src);
}

/** Returns the last readings of a table as columns. */
function readTable(text: string, contract: RowContract): Record<string, string[]> {
  const [header = [], ...rows] = parseCsv(text), last = rows.slice(-contract.readings);
  // A column that it lacks is empty: what a file before had there is not of this one.
  return Object.fromEntries(listColumns(contract).map((name) => [name, header.includes(name) ? last.map((row) => row[header.indexOf(name)] ?? "") : []]));
}

/** Returns the random name of this phone, which `served.csv` has. */
function getDevice(): string {
  const make = (): string => Array.from(crypto.getRandomValues(new Uint8Array(6)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const device = localStorage.getItem("edgeline device") ?? make();
  localStorage.setItem("edgeline device", device);
  return device;
}

/** Reads phone.json; earlier ones have one `key`, or null. */
async function readConfig(): Promise<Config> {
  const answer = await download("phone.json", bindDocument("phone.json"));
  if (!answer) throw new Refused("missing", {file: "phone.json"});
  const {key, ...config} = JSON.parse(new TextDecoder().decode(answer.content)) as Partial<Config> & {model: string; store: string; key?: string | null};
  return {keys: key ? [key] : [], expired: "warn", ...config};
}

async function main(): Promise<void> {
  if (isSecure() && navigator.serviceWorker) await navigator.serviceWorker.register("worker.js").catch(() => undefined);
  const config = await readConfig();
  await new Page(config, await State.open(`edgeline ${new URL("./", document.baseURI).pathname}`, config.model)).start();
}

main().catch((error: unknown) => show("problem", explain(error)));
