/**
 * @file Reads the pieces of a SentencePiece `tokenizer.model`: a protocol buffer whose field 1 repeats `{piece = 1 (bytes),
 * score = 2 (float), type = 3 (enum)}`. Only what a vocabulary needs is decoded; other fields are stepped over by wire type.
 */
import { BitsmithError } from '@bitsmith/formats';

export const pieceTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

export interface SentencePiece {
  readonly text: string;
  readonly score: number;
  /** One of `pieceTypes`. */
  readonly type: number;
}

/** A vocabulary larger than this is no tokenizer: the largest known has 2^18 pieces. */
const MAX_PIECES = 1 << 24;

/** @throws BitsmithError `TOKENIZER_MODEL` when the bytes are not a SentencePiece model. */
export function parseSentencePieceModel(bytes: Uint8Array): SentencePiece[] {
  const pieces: SentencePiece[] = [];
  const reader = new ProtoReader(bytes);
  while (!reader.done) {
    const field = reader.tag();
    if (field.number === 1 && field.wire === 2) {
      if (pieces.length === MAX_PIECES) throw malformed(`more than ${MAX_PIECES} pieces`);
      pieces.push(parsePiece(reader.bytes()));
    } else {
      reader.skip(field.wire);
    }
  }
  if (pieces.length === 0) throw malformed('no pieces');
  return pieces;
}

const utf8 = new TextDecoder('utf-8', { fatal: true });

function parsePiece(bytes: Uint8Array): SentencePiece {
  const reader = new ProtoReader(bytes);
  let text = '';
  let score = 0;
  let type: number = pieceTypes.normal;
  while (!reader.done) {
    const { number, wire } = reader.tag();
    if (number === 1 && wire === 2) text = decodeText(reader.bytes());
    else if (number === 2 && wire === 5) score = reader.float32();
    else if (number === 3 && wire === 0) type = reader.varint();
    else reader.skip(wire);
  }
  return { text, score, type };
}

function decodeText(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch {
    throw malformed('a piece that is not UTF-8');
  }
}

/** Protocol buffers, as far as lengths, floats and varints. */
class ProtoReader {
  private readonly data: Uint8Array;
  private readonly view: DataView;
  private offset = 0;

  constructor(data: Uint8Array) {
    this.data = data;
    this.view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  get done(): boolean {
    return this.offset === this.data.byteLength;
  }

  tag(): { number: number; wire: number } {
    const tag = this.varint();
    return { number: Math.floor(tag / 8), wire: tag % 8 };
  }

  varint(): number {
    let value = 0;
    for (let index = 0; index < 10; index += 1) {
      this.need(1);
      const byte = this.data[this.offset];
      this.offset += 1;
      value += (byte % 128) * 2 ** (7 * index);
      if (byte < 128) return value;
    }
    throw malformed('a number of more than 64 bits');
  }

  bytes(): Uint8Array {
    const length = this.varint();
    this.need(length);
    const bytes = this.data.subarray(this.offset, this.offset + length);
    this.offset += length;
    return bytes;
  }

  float32(): number {
    this.need(4);
    const value = this.view.getFloat32(this.offset, true);
    this.offset += 4;
    return value;
  }

  skip(wire: number): void {
    if (wire === 0) this.varint();
    else if (wire === 1) this.advance(8);
    else if (wire === 2) this.bytes();
    else if (wire === 5) this.advance(4);
    else throw malformed(`a field of wire type ${wire}`);
  }

  private advance(length: number): void {
    this.need(length);
    this.offset += length;
  }

  private need(length: number): void {
    if (length > this.data.byteLength - this.offset) throw malformed('a field that ends behind the file');
  }
}

function malformed(found: string): BitsmithError {
  return new BitsmithError(
    'validation',
    'TOKENIZER_MODEL',
    `tokenizer.model is not a SentencePiece model: found ${found}`,
    {
      expected: 'a SentencePiece model file',
      found,
      suggestion: 'Fetch tokenizer.model again (a Git LFS pointer in its place is a common cause).',
    },
  );
}
