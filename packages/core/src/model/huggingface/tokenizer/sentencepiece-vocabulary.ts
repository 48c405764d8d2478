/**
 * @file The vocabulary of a SentencePiece `tokenizer.model`, with the tokens that were added to it later. Families differ in where
 * they look for added tokens and in what they take for special, so those are options.
 */
import { BitsmithError, readBytes } from '@bitsmith/formats';
import { isJsonObject, type JsonObject, type ModelFolder } from '../folder.js';
import { looksSpecial, tokenTypes, withSpaces } from './token-type.js';
import { parseSentencePieceModel, pieceTypes, type SentencePiece } from './sentencepiece-model.js';
import type { Vocabulary } from './vocabulary.js';

export interface SentencePieceOptions {
  /** Rows of the model's embedding; the vocabulary is filled up with `[PADn]`. Missing: as many as there are pieces. */
  readonly vocabularySize?: number;
  /**
   * `shared`: special tokens are also known by their look, and spaces are written as spaces; what is out of range is left out.
   * `phi3`: only what is flagged is special; `tokenizer.json` is read too; nothing may be out of range.
   */
  readonly addedTokens: 'shared' | 'phi3';
}

const ADDED_SCORE = -1000;
const UNUSED_SCORE = -10_000;

/** @throws BitsmithError `TOKENIZER_MODEL`, `MODEL_JSON` or `TOKENIZER_RANGE`. */
export async function readSentencePieceVocabulary(
  folder: ModelFolder,
  options: SentencePieceOptions,
  signal?: AbortSignal,
): Promise<Vocabulary> {
  const source = await folder.open('tokenizer.model', signal);
  const pieces = parseSentencePieceModel(await readBytes(source, 0, source.byteLength, signal));
  const table = new TokenTable(options.vocabularySize ?? pieces.length, options.addedTokens);
  pieces
    .slice(0, table.size)
    .forEach((piece, id) => table.set(id, piece.text, piece.score, pieceTokenType(piece)));

  const legacy = (await folder.json('added_tokens.json', signal)) ?? {};
  for (const [text, id] of Object.entries(legacy)) {
    table.add(id, text, tokenTypes.userDefined);
  }
  const config = (await folder.json('tokenizer_config.json', signal)) ?? {};
  const decoder = isJsonObject(config.added_tokens_decoder) ? config.added_tokens_decoder : {};
  for (const [id, token] of Object.entries(decoder)) table.addToken(Number(id), token);
  if (options.addedTokens === 'phi3') {
    const json = await folder.json('tokenizer.json', signal);
    const tokens = Array.isArray(json?.added_tokens) ? json.added_tokens : [];
    for (const token of tokens) if (isJsonObject(token)) table.addToken(token.id, token);
  }
  return { model: 'llama', preTokenizer: 'default', ...table.columns() };
}

function pieceTokenType(piece: SentencePiece): number {
  switch (piece.type) {
    case pieceTypes.unknown:
      return tokenTypes.unknown;
    case pieceTypes.control:
      return tokenTypes.control;
    case pieceTypes.unused:
      return tokenTypes.unused;
    case pieceTypes.byte:
      return tokenTypes.byte;
    default:
      return tokenTypes.normal;
  }
}

class TokenTable {
  readonly size: number;
  private readonly rule: SentencePieceOptions['addedTokens'];
  private readonly tokens: string[];
  private readonly scores: number[];
  private readonly types: number[];

  constructor(size: number, rule: SentencePieceOptions['addedTokens']) {
    this.size = size;
    this.rule = rule;
    this.tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
    this.scores = Array.from({ length: size }, () => UNUSED_SCORE);
    this.types = Array.from({ length: size }, () => tokenTypes.unused);
  }

  set(id: number, text: string, score: number, type: number): void {
    this.tokens[id] = text;
    this.scores[id] = score;
    this.types[id] = type;
  }

  add(id: unknown, text: string, type: number): void {
    if (typeof id !== 'number' || !Number.isInteger(id) || id < 0) throw rangeError(text, id, this.size);
    if (id < this.size) this.set(id, text, ADDED_SCORE, type);
    else if (this.rule === 'phi3') throw rangeError(text, id, this.size);
  }

  addToken(id: unknown, token: unknown): void {
    const { content, special }: JsonObject = isJsonObject(token) ? token : {};
    if (typeof content !== 'string') return;
    const isSpecial = special === true || (this.rule === 'shared' && looksSpecial(content));
    if (isSpecial) this.add(id, content, tokenTypes.control);
    else this.add(id, this.rule === 'shared' ? withSpaces(content) : content, tokenTypes.userDefined);
  }

  columns(): Pick<Vocabulary, 'tokens' | 'scores' | 'types'> {
    return { tokens: this.tokens, scores: this.scores, types: this.types };
  }
}

function rangeError(text: string, id: unknown, size: number): BitsmithError {
  return new BitsmithError(
    'validation',
    'TOKENIZER_RANGE',
    `the added token ${JSON.stringify(text)} has the id ${JSON.stringify(id)}`,
    {
      expected: `a whole number below the vocabulary size ${size}`,
      found: JSON.stringify(id),
      suggestion: "Restore the model's tokenizer files, or vocab_size in config.json.",
    },
  );
}
