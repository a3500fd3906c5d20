/** Turns a text into token ids as `edgeline/edge/contracts/tokens.py` does. */
import {Refused} from "../refusal";

export interface TokensContract {
  version: number; kind: "tokens"; length: number; padding: number; unknown: number; first: number;
  vocabulary: string[]; normalization: string;
  tokenizer: {version: number; fold_from: string; fold_to: string; separators: string; alone: string;
    leading: string; trailing: string};
}

export function checkTokens(contract: TokensContract): void {
  const known = {version: 3, normalization: "NFC"} as const;
  const wrong = Object.entries(known).find(([key, value]) => contract[key as "version"] !== value);
  if (wrong) throw new Refused("contract", {key: wrong[0], value: String(contract[wrong[0] as "version"])});
  if (contract.tokenizer.version !== 1) throw new Refused("contract", {key: "tokenizer", value: contract.tokenizer.version});
}

const MARKS = "€ ‚ƒ„…†‡ˆ‰Š‹Œ Ž  ‘’“”•–—˜™š›œ žŸ"; // of Windows-1252, from 0x80 on
const BYTES = /[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}/g;

/** Returns a text in which marks that were decoded twice are what they were, as `edgeline/records/rejection.py` does. */
function repairText(text: string): string {
  if (!/[\x80-\x9f]/.test(text)) return text;
  const decoder = new TextDecoder("utf-8", {fatal: true, ignoreBOM: true});
  const whole = text.replace(BYTES, (match) => {
    try { return decoder.decode(Uint8Array.from(match, (letter) => letter.charCodeAt(0))); } catch { return match; }
  });
  return whole.replace(/[\x80-\x9f]/g, (mark) => MARKS[mark.charCodeAt(0) - 0x80]!);
}

/** Refuses a text that a run would reject, as `edgeline/records/rejection.py` does. */
export function checkText(content: string): void {
  const text = repairText(content), control = /[\0-\x08\x0b\x0c\x0e-\x1f\x7f]|\p{Cs}/u.exec(text);
  if (control) throw new Refused("control", {code: control[0].codePointAt(0)!.toString(16).toUpperCase().padStart(4, "0")});
  if (/^[\s\p{Cf}]*$/u.test(text)) throw new Refused("blank");
}

/** Returns the ids of words and then of pairs, int32 [2 * length], and the share of the words that the model does not know. */
export function preprocessTokens(text: string, contract: TokensContract): [Int32Array, number] {
  const {fold_from, fold_to, ...rules} = contract.tokenizer, to = [...fold_to];
  const folds = new Map([...fold_from].map((character, at) => [character, to[at]!]));
  let plain = Array.from(repairText(text).normalize("NFC"), (character) => folds.get(character) ?? character).join("");
  const steps = [[rules.separators, " "], [rules.alone, " $1 "], [rules.leading, " "], [rules.trailing, " "]] as const;
  for (const [rule, replacement] of steps) plain = plain.replace(compile(rule), replacement);
  const words = plain.split(" ").filter(Boolean).slice(0, contract.length);
  const places = new Map(contract.vocabulary.map((word, at) => [word, at + contract.first]));
  const ids = new Int32Array(2 * contract.length).fill(contract.padding);
  words.forEach((word, at) => {
    ids[at] = places.get(word) ?? contract.unknown;
    const next = words[at + 1];
    if (next !== undefined) ids[contract.length + at] = places.get(`${word} ${next}`) ?? contract.padding;
  });
  return [ids, words.length ? words.filter((word) => !places.has(word)).length / words.length : 0];
}

/** Compiles a rule for code points; JavaScript then refuses backslashes that Python and RE2 ignore. */
function compile(rule: string): RegExp {
  return new RegExp(rule.replace(/\\([^\^$\\.*+?()[\]{}|/-])/g, "$1"), "gu");
}
