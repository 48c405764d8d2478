/** @file Text to tokens and back, by the model's own vocabulary. */
import type { NativeFunctions } from '../binding/libraries.js';
import type { Address } from '../binding/structs.js';
import type { Lifetime } from './lifetime.js';
import { misuse } from './validate.js';

export interface TokenizeOptions {
  /** Adds the begin and end tokens that the vocabulary asks for. Default true. */
  addSpecial?: boolean;
  /** Reads the spelling of control tokens in the text as those tokens. Default false. */
  parseSpecial?: boolean;
}

export interface DetokenizeOptions {
  /** Leaves out begin and end tokens that tokenizing would add. Default false. */
  removeSpecial?: boolean;
  /** Spells control tokens out. Default false. */
  unparseSpecial?: boolean;
}

const int32Limit = 2 ** 31 - 1;

/** A token id, or null for the engine's "none". */
function presentToken(id: number): number | null {
  return id < 0 ? null : id;
}

export class Vocabulary {
  private readonly native: NativeFunctions;
  private readonly address: Address;
  private readonly lifetime: Lifetime;
  /** Number of tokens. */
  readonly size: number;
  /** Token ids, or null where the vocabulary has none. */
  readonly bos: number | null;
  readonly eos: number | null;
  /** Whether the model wants a begin token before, an end token after a text. */
  readonly addsBos: boolean;
  readonly addsEos: boolean;

  /** @internal */
  constructor(native: NativeFunctions, address: Address, lifetime: Lifetime) {
    this.native = native;
    this.address = address;
    this.lifetime = lifetime;
    this.size = native.llama_vocab_n_tokens(address);
    this.bos = presentToken(native.llama_vocab_bos(address));
    this.eos = presentToken(native.llama_vocab_eos(address));
    this.addsBos = native.llama_vocab_get_add_bos(address);
    this.addsEos = native.llama_vocab_get_add_eos(address);
  }

  /** Whether a token ends a generated text. */
  endsGeneration(token: number): boolean {
    this.lifetime.assertAlive();
    this.assertToken(token, 0);
    return this.native.llama_vocab_is_eog(this.address, token);
  }

  /** Tokens of a text, equal to what llama.cpp's own tools make of it. */
  tokenize(text: string, { addSpecial = true, parseSpecial = false }: TokenizeOptions = {}): Int32Array {
    this.lifetime.assertAlive();
    const bytes = Buffer.from(text, 'utf8');
    if (bytes.byteLength > int32Limit) {
      throw misuse('TEXT_TOO_LONG', 'a text of less than 2 GiB', `${bytes.byteLength} bytes`);
    }
    const run = (target: Int32Array): number =>
      this.native.llama_tokenize(
        this.address,
        bytes,
        bytes.byteLength,
        target,
        target.length,
        addSpecial,
        parseSpecial,
      );
    let tokens = new Int32Array(Math.ceil(bytes.byteLength / 2) + 16);
    let count = run(tokens);
    if (count < 0) {
      if (-count > int32Limit) throw misuse('TEXT_TOO_LONG', 'fewer than 2^31 tokens', 'more');
      tokens = new Int32Array(-count);
      count = run(tokens);
    }
    return tokens.slice(0, count);
  }

  /** The text of tokens; bytes that are not UTF-8 on their own become U+FFFD. */
  detokenize(
    tokens: Int32Array,
    { removeSpecial = false, unparseSpecial = false }: DetokenizeOptions = {},
  ): string {
    this.lifetime.assertAlive();
    tokens.forEach((token, index) => this.assertToken(token, index));
    if (tokens.length === 0) return '';
    const run = (target: Uint8Array): number =>
      this.native.llama_detokenize(
        this.address,
        tokens,
        tokens.length,
        target,
        target.length,
        removeSpecial,
        unparseSpecial,
      );
    let bytes = new Uint8Array(tokens.length * 8 + 64);
    let length = run(bytes);
    if (length < 0) {
      bytes = new Uint8Array(-length);
      length = run(bytes);
    }
    return Buffer.from(bytes.subarray(0, length)).toString('utf8');
  }

  /** @throws BitsmithError `TOKEN_RANGE` */
  assertToken(token: number, index: number): void {
    if (Number.isInteger(token) && token >= 0 && token < this.size) return;
    throw misuse(
      'TOKEN_RANGE',
      `token ids from 0 to ${this.size - 1}`,
      `${token} at index ${index}`,
      'The tokens are of another vocabulary: tokenize the text with this model.',
    );
  }
}
