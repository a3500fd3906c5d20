/** Turns a row, or a window of rows, into the model's input as `edgeline/edge/contracts/row.py` does. */
import {Refused} from "../refusal";

interface Column { name: string; form: string; part: string; until: string; until_form: string; missing?: string[] }
export interface RowContract {
  version: number; kind: "row"; readings: number; channels: number; clip: number; missing: string[]; vocabulary_size: number;
  numbers: {name: string; mean: number; deviation: number; low: number; high: number; column: Column; boundaries?: number[]}[];
  categories: {name: string; vocabulary: string[]}[];
}
export type Cells = Record<string, string[]>; // of each column, a cell for each reading, the oldest first

const DAY = 86400, LARGEST = 3.4028234e38, FIRST = -62_000_000_000, END = 253_402_300_800; // the years 5 to 9999
const TIMES: Record<string, string> = {"year-month-day": "ymd", "day.month.year": "dmy", "month/day/year": "mdy"};
const NUMBERS: Record<string, RegExp> = {
  "number": /^[+-]?(\d+(?:\.\d*)?|\.\d+)(e[+-]?\d+)?$/i,
  "number with decimal comma": /^[+-]?(\d+|[1-9]\d{0,2}(\.\d{3})+)(,\d+)?(e[+-]?\d+)?$/i,
  "number with commas at thousands": /^[+-]?(\d+|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?$/,
  "fraction": /^[+-]?(?:(\d+(?:\.\d+)?(?:e[+-]?\d+)?)|(?:(\d+) )?(\d+)\/(0*[1-9]\d*))$/,
  "minutes:seconds or hours:minutes": /^[+-]?\d+:[0-5]\d([.,]\d+)?$/,
  "hours:minutes:seconds": /^[+-]?(\d+:[0-5]\d|[1-9]?\d):[0-5]\d([.,]\d+)?$/,
};
const DATE = /^(\d{1,4})([-./])(\d{1,2})\2(\d{1,4})(?:([T ])(\d)?(\d:.*))?$/;
const ISO = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d))?(?:[.,](\d{1,6})\d*)?(?:Z|([+-])([01]\d|2[0-3])(?::?(\d\d))?)?)?$/;

export function checkRow(contract: RowContract): void {
  if (![3, 4].includes(contract.version)) throw new Refused("contract", {key: "version", value: contract.version});
  for (const {column} of contract.numbers) {
    const parts = ["", "weekday", "hour", "month", "age", "days"];
    const [base, unit] = splitUnit(column.form);
    if (!(column.form in {...TIMES, ...NUMBERS}) && !(unit && base!.startsWith("number") && base! in NUMBERS)) throw new Refused("contract", {key: column.name, value: column.form});
    if (!parts.includes(column.part)) throw new Refused("contract", {key: column.name, value: column.part});
  }
}

export function listColumns(contract: RowContract): string[] {
  return [...new Set([...listCells(contract), ...contract.categories.map((each) => each.name)])];
}

const listCells = ({numbers}: RowContract): string[] => numbers.flatMap(({column}) => column.until ? [column.name, column.until] : [column.name]);

/**
 * Returns float32 [readings, channels], the columns that are unlike all of training, and how unlike the row or window is.
 *
 * A number is more than a deviation beyond its range in training; no training example had a category.
 */
export function preprocessRow(content: Record<string, string | string[]>, contract: RowContract): [Float32Array, string[], number] {
  const {readings, channels, clip} = contract, tensor = new Float32Array(readings * channels), odd = new Set<string>();
  let farthest = 0; // deviations beyond a range
  const cells: Cells = {}, numbers = listCells(contract);
  for (const name of listColumns(contract)) {
    const given = content[name];
    if (given === undefined) throw new Refused("column", {column: name});
    cells[name] = Array.isArray(given) ? given : [given];
    // A window may have one cell of a category: it is of one machine.
    if (cells[name].length !== readings && (cells[name].length !== 1 || numbers.includes(name))) throw new Refused("count", {column: name, found: cells[name].length, readings});
  }
  const count = contract.numbers.length;
  for (let reading = 0; reading < readings; reading++) {
    const base = reading * channels;
    contract.numbers.forEach(({mean, deviation, low, high, column, boundaries, name}, at) => {
      const given = Math.fround(readNumber(column, (from) => cells[from]![reading]!, contract.missing));
      const value = Math.min(Math.fround(high), Math.max(Math.fround(low), given)); // NaN where there is none
      const missing = Number.isNaN(value), score = Math.fround(Math.fround(value - Math.fround(mean)) / Math.fround(deviation));
      const beyond = missing ? 0 : Math.abs(given - value) / Math.fround(deviation);
      if (beyond > 1) odd.add(name);
      farthest = Math.max(farthest, beyond);
      tensor[base + at] = missing ? 0 : Math.min(clip, Math.max(-clip, score));
      tensor[base + count + at] = missing ? 1 : 0;
      if (boundaries) {
        const above = boundaries.filter((boundary) => value >= Math.fround(boundary)).length;
        tensor[base + 2 * count + at] = missing ? 0 : above * (2 / boundaries.length) - 1;
      }
    });
    let place = base + count * (contract.numbers[0]?.boundaries ? 3 : 2);
    for (const {name, vocabulary} of contract.categories) {
      const text = strip(cells[name]!.at(-1)!), at = vocabulary.indexOf(text);
      // All values of training are in a vocabulary that is not full, but for the empty one.
      if (text && at < 0 && vocabulary.length < contract.vocabulary_size) {
        odd.add(name);
        farthest = Infinity;
      }
      tensor[place + 1 + at] = 1;
      place += contract.vocabulary_size + 1;
    }
  }
  return [tensor, [...odd], 1 - 1 / (1 + farthest)];
}

/** Removes blanks at both ends as Python does: a byte order mark is none, as it is to `trim`. */
const strip = (cell: string): string => cell.replace(/^(?:(?!\ufeff)[\s\x1c-\x1f\x85])+|(?:(?!\ufeff)[\s\x1c-\x1f\x85])+$/g, "");

function readNumber(column: Column, cell: (name: string) => string, missing: string[]): number {
  if (column.missing?.includes(strip(cell(column.name)))) return NaN;
  const value = readCell(column.name, column.form, cell(column.name), missing);
  if (!column.part) return value;
  if (column.part === "age") return (readCell(column.until, column.until_form, cell(column.until), missing) - value) / DAY;
  if (column.part === "days" || Number.isNaN(value)) return value / DAY;
  const time = new Date(value * 1000);
  if (column.part === "hour") return time.getUTCHours() + time.getUTCMinutes() / 60;
  return column.part === "month" ? time.getUTCMonth() + 1 : time.getUTCDay() || 7;
}

/** Returns the number, or the seconds since 1970, that a cell stands for; NaN where it is missing. */
function readCell(name: string, form: string, cell: string, missing: string[]): number {
  const text = strip(cell), value = form in TIMES ? readTime(text, form) : readPlain(text, form);
  if (value !== undefined && (form in TIMES || Math.abs(value) <= LARGEST)) return value;
  if (missing.includes(text.toLowerCase())) return NaN;
  throw new Refused("cell", {column: name, cell: text.slice(0, 60), form});
}

/** Returns a form without the unit that its cells have, and the unit. */
const splitUnit = (form: string): string[] => /^(.*?) in (.*)$/s.exec(form)?.slice(1) ?? [form, ""];

/** Returns a number with its minus before it, and without a formula around it or marks at thousands. */
function normalizeNumber(cell: string): string {
  let text = (/^="?([^"]*)"?$/.exec(cell)?.[1] ?? cell).replaceAll("\u2212", "-");
  const minus = /^(?:\(([^()+-]+)\)|(\d[^+-]*)-)$/.exec(text);
  if (minus) text = `-${minus[1] ?? minus[2]}`;
  const groups = /^(\D*[1-9]\d{0,2}(?:[ \u00a0\u202f'\u2019]\d{3})+)(?!\d)(.*)$/.exec(text);
  return groups ? groups[1]!.replace(/[ \u00a0\u202f'\u2019]/g, "") + groups[2] : text;
}

/** Returns a number without its unit, before or behind it; nothing if it has another. */
function removeUnit(text: string, unit: string): string {
  const sign = /^[+-]/.exec(text)?.[0] ?? "", number = text.slice(sign.length);
  if (number.startsWith(unit)) return sign + strip(number.slice(unit.length));
  return number.endsWith(unit) ? sign + strip(number.slice(0, -unit.length)) : "";
}

function readPlain(text: string, form: string): number | undefined {
  const [base, unit] = splitUnit(form), plain = unit ? removeUnit(normalizeNumber(text), unit) : normalizeNumber(text);
  const match = NUMBERS[base!]!.exec(plain), size = plain.replace(/^[+-]/, "");
  if (!match) return undefined;
  if (base === "number with decimal comma") return Number(plain.replaceAll(".", "").replace(",", "."));
  if (base!.startsWith("number")) return Number(plain.replaceAll(",", ""));
  const value = base === "fraction"
    ? Number(match[1] ?? 0) + Number(match[2] ?? 0) + (match[4] ? Number(match[3]) / Number(match[4]) : 0)
    : size.split(":").reduce((sum, part) => 60 * sum + Number(part.replace(",", ".")), 0);
  return plain.startsWith("-") ? -value : value;
}

function readTime(text: string, form: string): number | undefined {
  const match = DATE.exec(text), order = TIMES[form]!;
  let iso = form === "year-month-day" ? text : "";
  if (match) {
    const [, first, mark, second, third, between, hour, clock] = match;
    const part = (letter: string) => [first!, second!, third!][order.indexOf(letter)]!;
    if (part("y").length === 4 && !(order === "mdy" && mark === ".")) {
      iso = [part("y"), part("m").padStart(2, "0"), part("d").padStart(2, "0")].join("-")
        + (between ? between + (hour ?? "0") + clock : "");
    }
  }
  const parts = ISO.exec(iso);
  if (!parts) return undefined;
  const [year, month, day, hours, minutes, seconds] = parts.slice(1, 7).map((part) => Number(part ?? 0)) as number[];
  const time = new Date(Date.UTC(year!, month! - 1, day!, hours, minutes, seconds));
  time.setUTCFullYear(year!, month! - 1, day!); // the years 0 to 99 are not 1900 to 1999
  const exists = time.getUTCMonth() === month! - 1 && time.getUTCDate() === day && hours! < 24 && minutes! < 60 && seconds! < 60;
  const zone = (Number(parts[9] ?? 0) * 60 + Number(parts[10] ?? 0)) * 60 * (parts[8] === "-" ? -1 : 1);
  const value = time.getTime() / 1000 + Number(`0.${parts[7] ?? 0}`) - zone;
  return exists && value > FIRST && value < END ? value : undefined;
}
