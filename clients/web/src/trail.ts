/** The audit trail as a span: what was checked becomes examples, and served.csv has what the model had said. */
import {strToU8, zipSync, type Zippable} from "fflate";
import type {Entry} from "./state";

export const ASKED = 0.15; // share of answers, drawn at random, that a person is asked to check

const COLUMNS = ["example", "version", "variant", "said", "score", "captured_at", "device", "chosen"];

/** Returns the zip file that `edgeline data import` reads. */
export async function exportSpan(entries: Entry[], model: string, device: string): Promise<Blob> {
  const files: Zippable = {"release.json": strToU8(JSON.stringify({model, device}))}, served = [COLUMNS], rows: string[][] = [];
  const names = [...new Set(entries.flatMap(({content}) => content instanceof Blob || typeof content === "string" ? [] : Object.keys(content)))];
  let line = 2; // of the next text: a cell may hold line ends
  for (const entry of entries) {
    const {content, label, at} = entry, group = `${device}-${at.slice(0, 10)}`; // one walk of one auditor
    let example = "";
    if (content instanceof Blob) {
      const photo = new Uint8Array(await content.arrayBuffer());
      // Over plain http a browser has no digest.
      const digest = crypto.subtle ? new Uint8Array(await crypto.subtle.digest("SHA-256", photo)) : null;
      example = `${digest ? Array.from(digest.slice(0, 16), (byte) => byte.toString(16).padStart(2, "0")).join("") : `${device}-${entry.id}`}.jpg`;
      if (!rows.length) rows.push(["photo", "label", "lane_id", "session_id", "captured_at", "split"]);
      if (label) {
        files[`photos/${example}`] = [photo, {level: 0}];
        rows.push([example, label, "", group, at, ""]);
      }
    } else if (typeof content === "string") {
      if (!rows.length) rows.push(["text", "label", "source", "group"]);
      if (label) {
        rows.push([content, label, "phone", group]);
        example = `texts.csv:${line}`;
        line += content.split("\n").length;
      }
    } else {
      const readings = [Object.values(content)[0]!].flat(), columns = names.map((name) => [content[name] ?? readings.map(() => "")].flat());
      if (!rows.length) rows.push([...names, "edgeline.label", "edgeline.group", "edgeline.captured_at"]);
      if (label) {
        // The readings of a window are a group of their own, a second apart, so that they make one window again.
        const times = readings.map((_, reading) => Date.parse(at) + (reading + 1 - readings.length) * 1000);
        const lines = times.map((time, reading) => [...columns.map((cells) => cells[reading] ?? cells.at(-1)!), label, `${device}-${entry.id}`, new Date(time).toISOString()]);
        example = `rows.csv:${rows.push(...lines)}`;
      }
    }
    served.push([example, String(entry.version), entry.variant, entry.said, entry.score.toFixed(6), at, device, entry.chosen]);
  }
  const first = entries[0]!.content;
  files[first instanceof Blob ? "labels.csv" : typeof first === "string" ? "texts.csv" : "rows.csv"] = formatCsv(rows);
  files["served.csv"] = formatCsv(served);
  return new Blob([zipSync(files) as Uint8Array<ArrayBuffer>], {type: "application/zip"});
}

// By edgeline/tables/sheets.py: what a spreadsheet takes for a formula, also in full width, is marked, but no plain number.
const FORMULA = /^'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]/, NUMBER = /^[+-]?(\d+([.,]\d+)?|[.,]\d+)(e[+-]?\d+)?$/i;

/** Formats a table that people open in a spreadsheet; the import removes the marks. */
function formatCsv(rows: string[][]): Uint8Array {
  const mark = (cell: string): string => FORMULA.test(cell) && !NUMBER.test(cell) ? `'${cell}` : cell;
  const quote = (cell: string): string => /[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
  return strToU8(rows.map((row) => `${row.map(mark).map(quote).join(",")}\n`).join(""));
}

/** Reads the cells of a CSV file: rows of texts, the header first. */
export function parseCsv(text: string): string[][] {
  const delimiter = [",", ";", "\t"].sort((one, other) => text.split("\n")[0]!.split(other).length - text.split("\n")[0]!.split(one).length)[0]!;
  const rows: string[][] = [[]];
  for (const [, quoted, plain, end] of text.replace(/^\ufeff/, "").matchAll(
    new RegExp(`(?:"((?:[^"]|"")*)"|([^${delimiter}\r\n]*))(${delimiter}|\r?\n|$)`, "g"))) {
    rows.at(-1)!.push(quoted?.replaceAll('""', '"') ?? plain ?? "");
    if (end !== delimiter) rows.push([]);
  }
  return rows.filter((row) => row.some(Boolean));
}
