/** The one way from a raw input to the model's input, by the kind of preprocessing.json. */
import {checkImage, preprocessImage, type ImageContract, type Plane} from "./image";
import {checkRow, preprocessRow, type RowContract} from "./row";
import {checkTokens, preprocessTokens, type TokensContract} from "./tokens";
import {Refused} from "../refusal";

export type Contract = ImageContract | RowContract | TokensContract;
export type Content = Blob | string | Record<string, string | string[]>;
/** A tensor without the batch, what of the input is unlike the training data, how much so a row is, and the photo as it was scaled. */
export interface Prepared { tensor: Uint8Array | Float32Array | Int32Array; odd: string[]; unlike?: number; photo?: Plane }

const MOST_UNKNOWN = 0.5; // of the words of a text that an answer can be expected for

export function parseContract(text: string): Contract {
  const contract = JSON.parse(text) as Contract;
  if (contract.kind === "image") checkImage(contract);
  else if (contract.kind === "row") checkRow(contract);
  else if (contract.kind === "tokens") checkTokens(contract);
  else throw new Refused("contract", {key: "kind", value: String((contract as {kind: unknown}).kind)});
  return contract;
}

export async function preprocess(content: Content, contract: Contract): Promise<Prepared> {
  if (contract.kind === "image") {
    const [tensor, photo] = await preprocessImage(content as Blob, contract);
    return {tensor, odd: [], photo};
  }
  if (contract.kind === "row") {
    const [tensor, odd, unlike] = preprocessRow(content as Record<string, string>, contract);
    return {tensor, odd, unlike};
  }
  const [tensor, unknown] = preprocessTokens(content as string, contract);
  return {tensor, odd: unknown > MOST_UNKNOWN ? [`${Math.round(unknown * 100)} %`] : []};
}
