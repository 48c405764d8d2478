/** @file A model's configuration as the families read it: `config.json` with the defaults of its model type filled in. */
import { BitsmithError } from '@bitsmith/formats';
import { isJsonObject, type JsonObject } from '../folder.js';

export class Hparams {
  readonly values: JsonObject;

  constructor(values: JsonObject) {
    this.values = values;
  }

  has(key: string): boolean {
    return Object.hasOwn(this.values, key);
  }

  /** The value of a key; `undefined` where it is missing or null. */
  get(key: string): unknown {
    return this.has(key) ? (this.values[key] ?? undefined) : undefined;
  }

  /**
   * The value of the first key that is present. A key that is present with null ends the search, with `undefined`: the names
   * are synonyms, and null is an answer.
   */
  find(...keys: readonly string[]): unknown {
    const key = keys.find((candidate) => this.has(candidate));
    return key === undefined ? undefined : this.get(key);
  }

  object(key: string): JsonObject | undefined {
    const value = this.get(key);
    return isJsonObject(value) ? value : undefined;
  }

  /** @throws BitsmithError `MODEL_CONFIG` when none of the keys holds a whole number above zero. */
  count(...keys: readonly string[]): number {
    const value = this.find(...keys);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value;
    const found = value === undefined ? 'nothing' : JSON.stringify(value);
    throw new BitsmithError(
      'validation',
      'MODEL_CONFIG',
      `config.json has ${found} for ${keys.join(' or ')}`,
      {
        expected: 'a whole number above zero',
        found,
        suggestion: "Restore the model's config.json.",
      },
    );
  }
}
