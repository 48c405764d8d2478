/** @file Strict UTF-8: nothing is replaced silently, in either direction. */
import { BitsmithError } from '../errors.js';

// A byte order mark is data here: without `ignoreBOM` it would be dropped and the text would not survive a round trip.
const strictDecoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();
const loneSurrogate = /\p{Surrogate}/u;

/** The text, or `undefined` when the bytes are not valid UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return strictDecoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** @throws BitsmithError `TEXT_NOT_UNICODE` when a lone surrogate leaves the text without a UTF-8 form. */
export function encodeUtf8(text: string, what = 'the text'): Uint8Array {
  requireWellFormed(text, what);
  return encoder.encode(text);
}

/**
 * The same into `target`, which must have room for three bytes a character. Returns the bytes written.
 * @throws BitsmithError `TEXT_NOT_UNICODE`.
 */
export function encodeUtf8Into(text: string, target: Uint8Array, what: string): number {
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit >= 0x80) {
      requireWellFormed(text, what);
      return encoder.encodeInto(text, target).written;
    }
    target[index] = unit;
  }
  return text.length;
}

/** Whether every surrogate of the text has its partner. */
export function isWellFormed(text: string): boolean {
  return !loneSurrogate.test(text);
}

/** @throws BitsmithError `TEXT_NOT_UNICODE`. */
export function requireWellFormed(text: string, what: string): void {
  if (isWellFormed(text)) return;
  throw new BitsmithError(
    'validation',
    'TEXT_NOT_UNICODE',
    `${what} holds a lone surrogate and has no UTF-8 form`,
    {
      expected: 'well-formed Unicode text',
      suggestion: 'Pass raw bytes where arbitrary bytes are meant, or correct the text.',
    },
  );
}
