/** What the page says, in English and German; {name} is replaced by a fact. */
import refusals from "../../../edgeline/release/refusals.json";

const REFUSALS: Record<string, {en: string; de: string} | undefined> = refusals; // as every reader has them
const WORDS: Record<string, [string, string]> = {
  // Parts of the page.
  camera: ["Camera", "Kamera"],
  take: ["Take the photo", "Aufnehmen"],
  file: ["Choose a photo", "Foto wählen"],
  table: ["Read from a CSV file", "Aus einer CSV-Datei lesen"],
  text: ["Text", "Text"],
  readings: ["{readings} readings, the oldest first, with ; between them", "{readings} Messwerte, der älteste zuerst, dazwischen ;"],
  go: ["Ask the model", "Modell fragen"],
  example: ["Try an example", "Beispiel zeigen"],
  working: ["Working …", "Arbeitet …"],
  took: ["{ms} ms on this phone, version {version} ({variant})", "{ms} ms auf diesem Telefon, Version {version} ({variant})"],
  odd: ["Unlike what the model was trained on: {what}. Do not rely on the answer.", "Anders als alles, womit das Modell trainiert wurde: {what}. Bitte nicht auf die Antwort verlassen."],
  right: ["Which label is right?", "Welches Label stimmt?"],
  drawn: ["Drawn at random: please check this answer.", "Zufällig gezogen: Bitte diese Antwort prüfen."],
  save: ["Save", "Speichern"],
  saved: ["Saved: {label}.", "Gespeichert: {label}."],
  trail: ["Answers on this phone", "Antworten auf diesem Telefon"],
  none: ["No answers yet.", "Noch keine Antworten."],
  corrected: ["{said}, checked: {label}", "{said}, geprüft: {label}"],
  counts: ["{count} answers, {checked} checked", "{count} Antworten, {checked} geprüft"],
  export: ["Export for training", "Für das Training exportieren"],
  clear: ["Delete all", "Alle löschen"],
  sure: ["Delete all {count} answers? What was not exported is lost.", "Alle {count} Antworten löschen? Was nicht exportiert ist, geht verloren."],
  about: ["About this release", "Über diese Version"],
  look: ["Look for a new release", "Nach neuer Version suchen"],
  // The state of the release.
  loading: ["Downloading and checking the release …", "Version wird geladen und geprüft …"],
  empty: ["No release is here yet. Connect to the network once.", "Noch keine Version hier. Bitte einmal mit dem Netz verbinden."],
  fine: ["Version {version}: signature, {files} files and {vectors} golden vectors checked on this phone.", "Version {version}: Signatur, {files} Dateien und {vectors} Prüfbeispiele auf diesem Telefon geprüft."],
  unsigned: ["Version {version} is not signed: its origin cannot be verified. {files} files and {vectors} golden vectors are as published.", "Version {version} ist nicht signiert: Ihre Herkunft ist nicht prüfbar. {files} Dateien und {vectors} Prüfbeispiele sind wie veröffentlicht."],
  insecure: ["Cannot verify: this page was not opened by https, so anyone on the network may have changed page and model. Nothing is kept.", "Nicht prüfbar: Diese Seite wurde ohne https geöffnet, jeder im Netz kann Seite und Modell verändert haben. Nichts wird behalten."],
  candidate: ["It is a candidate, which {percent} % of phones try, this one too; the others run version {other}.", "Sie ist ein Kandidat, den {percent} % der Telefone erproben, auch dieses; die anderen nutzen Version {other}."],
  production: ["{percent} % of phones try the candidate, version {version}; this one does not.", "{percent} % der Telefone erproben den Kandidaten, Version {version}; dieses nicht."],
  unproven: ["It has no golden vectors, so nothing proves that this phone answers as the model does.", "Sie hat keine Prüfbeispiele; nichts beweist, dass dieses Telefon wie das Modell antwortet."],
  goeson: ["Version {version} goes on, but its answers may be out of date: {why}", "Version {version} läuft weiter, aber ihre Antworten können veraltet sein: {why}"],
  ends: ["Version {version} does not answer any more: {why}", "Version {version} antwortet nicht mehr: {why}"],
  since: ["Nothing newer could be asked for since {day}.", "Seit dem {day} konnte nach nichts Neuerem gefragt werden."],
  rekey: ["The server of this page names another key ({found} …) than the one that this phone trusts ({key} …), which is still required. Ask the owner of the model before you trust the new one.", "Der Server dieser Seite nennt einen anderen Schlüssel ({found} …) als den, dem dieses Telefon vertraut ({key} …) und der weiter verlangt wird. Vertrauen Sie dem neuen erst nach Rückfrage bei dem, dem das Modell gehört."],
  trust: ["Trust the key {found} …", "Dem Schlüssel {found} … vertrauen"],
  evictable: ["The browser may delete it. Install this page on the home screen.", "Der Browser darf sie löschen. Bitte diese Seite auf dem Startbildschirm installieren."],
  stays: ["A new release was refused, version {version} stays: {why}", "Eine neue Version wurde abgelehnt, Version {version} bleibt: {why}"],
  refused: ["Refused: {why}", "Abgelehnt: {why}"],
  details: ["{model} {version}, {variant}, made {created}, expires {expires}. Key: {key}. {close} of {values} input values, {decisions} of {vectors} decisions as published; proven in {ms} ms. Median inference {inference} ms.", "{model} {version}, {variant}, erstellt {created}, gültig bis {expires}. Schlüssel: {key}. {close} von {values} Eingabewerten, {decisions} von {vectors} Entscheidungen wie veröffentlicht; geprüft in {ms} ms. Median der Inferenz {inference} ms."],
  // Refusals that only a page has.
  contract: ["preprocessing.json is not supported: {key} is {value}.", "preprocessing.json wird nicht unterstützt: {key} ist {value}."],
  labels: ["labels.txt has {labels} labels for {outputs} outputs.", "labels.txt hat {labels} Labels für {outputs} Ausgaben."],
  mixed: ["preprocessing.json and golden vectors are of different bundles.", "preprocessing.json und Prüfbeispiele gehören nicht zusammen."],
  tensor: ["golden vector {name}: {far} of {size} input values differ, by up to {largest}.", "Prüfbeispiel {name}: {far} von {size} Eingabewerten weichen ab, um bis zu {largest}."],
  score: ["golden vector {name}: a probability differs by {apart}, allowed are {allowed}.", "Prüfbeispiel {name}: Eine Wahrscheinlichkeit weicht um {apart} ab, erlaubt sind {allowed}."],
  finite: ["the model gives values that are no numbers.", "das Modell liefert Werte, die keine Zahlen sind."],
  // Inputs that cannot be read.
  photo: ["This browser cannot read the photo ({bytes} bytes, {type}).", "Dieser Browser kann das Foto nicht lesen ({bytes} Bytes, {type})."],
  blank: ["The text is empty.", "Der Text ist leer."],
  control: ["The text contains the control character U+{code}.", "Der Text enthält das Steuerzeichen U+{code}."],
  column: ["The column {column} is missing.", "Die Spalte {column} fehlt."],
  cell: ["{column}: “{cell}” is not a {form}.", "{column}: „{cell}“ ist kein Wert der Form {form}."],
  count: ["{column} has {found} readings, not {readings}.", "{column} hat {found} Messwerte, nicht {readings}."],
  nocamera: ["The camera cannot be used: {why}", "Die Kamera ist nicht nutzbar: {why}"],
  failed: ["Something failed: {why}", "Etwas ging schief: {why}"],
};

export const language = navigator.language.startsWith("de") ? 1 : 0, locale = ["en", "de"][language]!;

export function say(key: string, facts: Record<string, string | number> = {}): string {
  const refusal = REFUSALS[key], words = refusal ? [refusal.en, refusal.de] : WORDS[key] ?? WORDS.failed!;
  return words[language]!.replace(/\{(\w+)\}/g, (_, name: string) => String(facts[name] ?? "?"));
}

export function formatDay(at: number): string {
  return new Date(at).toLocaleDateString(locale, {dateStyle: "long"});
}
