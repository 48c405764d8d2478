/**
 * @file The text that decoding gives for one added token: what llama.cpp expects a token that is matched in raw text to be stored as.
 * The decoders of the tokenizers library, as far as one token can show them.
 */
import { BitsmithError } from '@bitsmith/formats';
import { isJsonObject, type JsonObject } from '../folder.js';

export function decodeAddedToken(content: string, decoder: unknown, cleansSpaces: boolean): string {
  const text = isJsonObject(decoder) ? applyDecoder(content, decoder) : content;
  return cleansSpaces ? withoutLooseSpaces(text) : text;
}

function applyDecoder(text: string, decoder: JsonObject): string {
  switch (decoder.type) {
    case 'Sequence':
      return (Array.isArray(decoder.decoders) ? decoder.decoders : [])
        .filter(isJsonObject)
        .reduce(applyDecoder, text);
    case 'ByteLevel':
      return decodeByteLevel(text);
    case 'Replace':
      return replaced(text, decoder);
    case 'Strip':
      return stripped(text, decoder);
    case 'Metaspace':
      return decodeMetaspace(text, decoder);
    default:
      // Fuse joins tokens and ByteFallback joins bytes: neither changes one token that is text.
      return text;
  }
}

const byteOfCharacter = byteLevelAlphabet();

/** Characters of the byte-level alphabet are bytes; a token with any other character is taken as it is. */
function decodeByteLevel(text: string): string {
  const bytes = [...text].map((character) => byteOfCharacter.get(character));
  if (!bytes.every((byte) => byte !== undefined)) return text;
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

function byteLevelAlphabet(): ReadonlyMap<string, number> {
  const alphabet = new Map<string, number>();
  let next = 256;
  for (let byte = 0; byte < 256; byte += 1) {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    alphabet.set(String.fromCharCode(printable ? byte : next), byte);
    if (!printable) next += 1;
  }
  return alphabet;
}

function replaced(text: string, decoder: JsonObject): string {
  const pattern = isJsonObject(decoder.pattern) ? decoder.pattern : {};
  const content = typeof decoder.content === 'string' ? decoder.content : '';
  if (typeof pattern.String === 'string') return text.replaceAll(pattern.String, content);
  if (typeof pattern.Regex === 'string') return text.replaceAll(compiled(pattern.Regex), () => content);
  return text;
}

function compiled(pattern: string): RegExp {
  try {
    return new RegExp(pattern, 'gu');
  } catch (cause) {
    throw new BitsmithError(
      'unsupported',
      'TOKENIZER_UNSUPPORTED',
      `the decoder has the pattern ${pattern}`,
      {
        expected: 'a pattern that JavaScript can read',
        found: pattern,
        suggestion: 'Convert the model with a tool that knows its tokenizer, and give the GGUF.',
        cause,
      },
    );
  }
}

function stripped(text: string, decoder: JsonObject): string {
  const content = typeof decoder.content === 'string' ? decoder.content : '';
  const characters = [...text];
  let start = 0;
  while (start < countOf(decoder.start) && characters[start] === content) start += 1;
  let end = characters.length;
  const least = characters.length - countOf(decoder.stop);
  while (end > Math.max(start, least) && characters[end - 1] === content) end -= 1;
  return characters.slice(start, end).join('');
}

function countOf(value: unknown): number {
  return typeof value === 'number' ? value : 0;
}

function decodeMetaspace(text: string, decoder: JsonObject): string {
  const sign = typeof decoder.replacement === 'string' ? decoder.replacement : '\u2581';
  const spaced = text.replaceAll(sign, ' ');
  const prefixed = decoder.prepend_scheme !== 'never' && decoder.add_prefix_space !== false;
  return prefixed && text.startsWith(sign) ? spaced.slice(1) : spaced;
}

const looseSpaces = [' .', ' ?', ' !', ' ,', " ' ", " n't", " 'm", " 's", " 've", " 're"];

function withoutLooseSpaces(text: string): string {
  return looseSpaces.reduce((cleaned, loose) => cleaned.replaceAll(loose, loose.trim()), text);
}
