import { expect, test } from 'vitest';
import { cutIntoChunks } from '../../src/text/chunks.js';
import { firstChunks } from '../../src/text/tokenize.js';
import { failure } from '../support/errors.js';

const tokens = Int32Array.from({ length: 10 }, (_, index) => 100 + index);

test('whole chunks only; the rest is left out', () => {
  const cut = cutIntoChunks(tokens, { contextTokens: 4, bos: null, name: 'a text' });
  expect(cut.contextTokens).toBe(4);
  expect(cut.chunks.map((chunk) => [...chunk])).toEqual([
    [100, 101, 102, 103],
    [104, 105, 106, 107],
  ]);
});

test('the first token of every chunk gives way to the beginning-of-sequence token, the text keeps its own', () => {
  const cut = cutIntoChunks(tokens, { contextTokens: 5, bos: 1, name: 'a text' });
  expect(cut.chunks.map((chunk) => [...chunk])).toEqual([
    [1, 101, 102, 103, 104],
    [1, 106, 107, 108, 109],
  ]);
  expect(tokens[0]).toBe(100);
});

test('a limit takes the first chunks', () => {
  expect(
    cutIntoChunks(tokens, { contextTokens: 3, limit: 2, bos: null, name: 'a text' }).chunks,
  ).toHaveLength(2);
  expect(
    cutIntoChunks(tokens, { contextTokens: 3, limit: 99, bos: null, name: 'a text' }).chunks,
  ).toHaveLength(3);
});

test('a text exactly one context long is one chunk; one token less is refused with both counts', async () => {
  const options = { contextTokens: 10, bos: null, name: 'notes.txt' };
  expect(cutIntoChunks(tokens, options).chunks).toHaveLength(1);
  const error = await failure(() => cutIntoChunks(tokens.subarray(1), options));
  expect(error).toMatchObject({
    kind: 'calibration-text',
    code: 'TEXT_TOO_SHORT',
    message: 'expected at least 10 tokens (one context) in notes.txt, found 9',
  });
  expect(error.suggestion).toMatch(/--text FILE/);
});

test('the first tokens of a text are whole chunks, at least one, at most all', () => {
  const text = {
    name: 'a text',
    sha256: '',
    tokens: 10,
    ...cutIntoChunks(tokens, { contextTokens: 2, bos: null, name: 'a text' }),
  };
  expect(firstChunks(text, 5).chunks).toHaveLength(2);
  expect(firstChunks(text, 1).chunks).toHaveLength(1);
  expect(firstChunks(text, 1000).chunks).toHaveLength(5);
});
