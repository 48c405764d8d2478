/**
 * @file The tokens that a tokenizer was given beside its trained vocabulary, with the ids that the tokenizers library gives them:
 * a token that the vocabulary has keeps its id, any other is appended. A token added again replaces its flags.
 */
import { isJsonObject, type JsonObject } from '../folder.js';

export interface AddedToken {
  readonly content: string;
  readonly special: boolean;
  readonly normalized: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly single_word: boolean;
}

/** An added token as its JSON has it; a missing `normalized` means that special tokens are left alone. */
export function addedToken(content: string, flags: JsonObject = {}): AddedToken {
  const special = flags.special === true;
  return {
    content,
    special,
    normalized: typeof flags.normalized === 'boolean' ? flags.normalized : !special,
    lstrip: flags.lstrip === true,
    rstrip: flags.rstrip === true,
    single_word: flags.single_word === true,
  };
}

/** A token given as text or as an object with `content`. */
export function asAddedToken(value: unknown): AddedToken | undefined {
  if (typeof value === 'string') return addedToken(value);
  if (isJsonObject(value) && typeof value.content === 'string') return addedToken(value.content, value);
  return undefined;
}

export function sameToken(a: AddedToken, b: AddedToken): boolean {
  return (
    a.content === b.content &&
    a.special === b.special &&
    a.normalized === b.normalized &&
    a.lstrip === b.lstrip &&
    a.rstrip === b.rstrip &&
    a.single_word === b.single_word
  );
}

export class AddedVocabulary {
  private readonly base: ReadonlyMap<string, number>;
  private readonly ids = new Map<string, number>();
  private readonly tokens = new Map<number, AddedToken>();

  constructor(base: ReadonlyMap<string, number>) {
    this.base = base;
  }

  add(token: AddedToken): void {
    if (token.content === '') return;
    const id = this.idOf(token.content) ?? this.nextId();
    this.ids.set(token.content, id);
    this.tokens.set(id, token);
  }

  idOf(content: string): number | undefined {
    return this.ids.get(content) ?? this.base.get(content);
  }

  has(content: string): boolean {
    return this.ids.has(content);
  }

  get(id: number): AddedToken | undefined {
    return this.tokens.get(id);
  }

  /** By id. */
  entries(): readonly (readonly [id: number, token: AddedToken])[] {
    return [...this.tokens].sort((a, b) => a[0] - b[0]);
  }

  private nextId(): number {
    let largest = -1;
    for (const id of this.tokens.keys()) largest = Math.max(largest, id);
    return largest >= this.base.size ? largest + 1 : this.base.size;
  }
}
