/** Why a release, or an example, is not accepted: a key of `words.ts`, and the facts to put into its sentence. */
export class Refused extends Error {
  constructor(readonly reason: string, readonly facts: Record<string, string | number> = {}) {
    super(`${reason} ${JSON.stringify(facts)}`);
  }
}
