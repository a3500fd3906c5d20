/** The page: asks the model, shows what of its release was checked, and keeps the auditor's corrections. */
import {Bundle, type Answer} from "./bundle";
import type {Content} from "./contracts";
import {listColumns, type RowContract} from "./contracts/row";
import {Refused} from "./refusal";
import {isSecure} from "./release";
import {State, type Entry, type Kept} from "./state";
import {ASKED, exportSpan, parseCsv} from "./trail";
import {update, type Config} from "./update";
import {language, say} from "./words";

const POLL_MS = 15 * 60_000, SHOWN = 20;

const find = <T extends HTMLElement = HTMLElement>(id: string): T => document.getElementById(id) as T;
const show = (id: string, text: string): void => { find(id).textContent = text; find(id).hidden = !text; };
const explain = (error: unknown): string => error instanceof Refused ? say(error.reason, error.facts) : say("failed", {why: String(error)});

class Page {
  private bundle: Bundle | null = null;
  private kept: Kept | null = null;
  private refusal = "";
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
    addEventListener("online", () => void this.look());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) void this.look(); });
    this.others.onmessage = () => void this.reload().then(() => this.report());
  }

  /** Opens the kept bundle, where it is another than the one in use: another tab may have proven it. */
  private async reload(): Promise<void> {
    const kept = await this.state.kept();
    if (kept && kept.seen.digest === this.kept?.seen.digest) this.kept = kept;
    else if (kept) await this.use(await Bundle.open(kept.manifest, kept.files), kept);
  }

  private async use(bundle: Bundle, kept: Kept): Promise<void> {
    const changed = JSON.stringify(bundle.contract) !== JSON.stringify(this.bundle?.contract);
    const before = this.bundle;
    void this.answering.then(() => before?.close()); // it still gives the answers that were asked of it
    [this.bundle, this.kept] = [bundle, kept];
    if (changed) this.buildInput();
    find("ask").hidden = false;
    // Not awaited: Firefox asks a person, who may not answer.
    if (isSecure()) void (navigator.storage.persist?.() ?? Promise.resolve(false)).then((stays) => { this.evictable = !stays; this.report(); });
    const loaded = performance.getEntriesByType("resource").map((entry) => entry.name);
    void navigator.serviceWorker?.ready.then((registration) => registration.active?.postMessage(loaded));
  }

  /** Asks the store; only one tab at a time does. */
  async look(): Promise<void> {
    const work = async (): Promise<string> => {
      // A runtime that could not be loaded is no reason to fetch the release again.
      const opens = await this.reload().then(() => true, (error: unknown) => error instanceof Refused && error.reason === "model");
      const result = await update(this.config, this.state, getDevice(), opens);
      if (result) await this.use(...result);
      if (result) this.others.postMessage(result[1].seen.version);
      await this.reload();
      return "";
    };
    find<HTMLButtonElement>("look").disabled = true;
    try {
      this.refusal = await (navigator.locks ? navigator.locks.request(`edgeline ${document.baseURI}`, work) : work());
    } catch (error) {
      this.refusal = explain(error);
    }
    find<HTMLButtonElement>("look").disabled = false;
    this.report();
  }

  /** Says what is in use, and what was refused; never that all is well where it could not be verified. */
  private report(instead = ""): void {
    const {kept, bundle, refusal} = this, status = find("status"), version = kept?.seen.version ?? 0;
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
    const over = Date.parse(kept.manifest.expires) <= Date.now();
    if (over) sentences.push(say("old", {expires: kept.manifest.expires}));
    if (refusal) sentences.unshift(say("stays", {version, why: refusal}));
    if (this.evictable) sentences.push(say("evictable"));
    const fine = isSecure() && kept.seen.key !== null && kept.proof.vectors > 0 && !over && !refusal;
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
    document.documentElement.lang = ["en", "de"][language]!;
    document.title = find("model").textContent = this.config.model;
    let number = 0;
    find("look").onclick = () => void this.look();
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

async function main(): Promise<void> {
  if (isSecure() && navigator.serviceWorker) await navigator.serviceWorker.register("worker.js").catch(() => undefined);
  const config = await (await fetch("phone.json")).json() as Config;
  await new Page(config, await State.open(`edgeline ${new URL("./", document.baseURI).pathname}`, config.model)).start();
}

main().catch((error: unknown) => show("problem", explain(error)));
