import { readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LlamaContext, LlamaModel, loadEngine } from '../src/index.js';
import { endToken, temporaryFolder, vocabularySize, writeTinyModel } from './support/tiny-model.js';

const engine = loadEngine({ threads: 1 });
const folder = temporaryFolder();
const path = folder.at('tiny.gguf');
let model: LlamaModel;

beforeAll(async () => {
  await writeTinyModel(path);
  model = await LlamaModel.open(engine, path);
});
afterAll(() => {
  model.dispose();
  folder.remove();
});

describe('LlamaModel.open', () => {
  it('tells what the file says', () => {
    expect(model).toMatchObject({
      path,
      trainedContext: 128,
      embeddingLength: 256,
      layers: 2,
      chatTemplate: '{{ messages }}',
    });
    expect(model.parameterCount).toBe(model.byteLength / 4);
    expect(model.metadata('general.architecture')).toBe('llama');
    expect(model.metadata('llama.context_length')).toBe('128');
    expect(model.metadata('no.such.key')).toBe(null);
    expect(model.vocabulary).toMatchObject({
      size: vocabularySize,
      bos: endToken,
      eos: endToken,
      addsBos: true,
    });
  });

  it('opens the same without mapping', async () => {
    const read = await LlamaModel.open(engine, path, { mmap: false });
    expect(read.byteLength).toBe(model.byteLength);
    read.dispose();
  });

  it('opens only the vocabulary', async () => {
    const vocabulary = await LlamaModel.open(engine, path, { vocabOnly: true });
    expect(vocabulary.vocabulary.tokenize('the', { addSpecial: false })).toEqual(Int32Array.of(257));
    expect(() => LlamaContext.create(vocabulary, { contextTokens: 8 })).toThrow(
      expect.objectContaining({ code: 'MODEL_VOCAB_ONLY' }),
    );
    vocabulary.dispose();
  });

  it.each([
    ['a missing file', () => folder.at('missing.gguf'), 'MODEL_NOT_FOUND', 'nothing readable'],
    ['a folder', () => folder.at('.'), 'MODEL_NOT_FOUND', 'found a folder'],
    [
      'another kind of file',
      () => write('text.gguf', Buffer.from('no model at all')),
      'MODEL_UNREADABLE',
      'invalid magic',
    ],
    [
      'a truncated header',
      () => write('header.gguf', readFileSync(path).subarray(0, 3000)),
      'MODEL_UNREADABLE',
      '',
    ],
    [
      'truncated tensors',
      () => write('data.gguf', readFileSync(path).subarray(0, 100_000)),
      'MODEL_UNREADABLE',
      '',
    ],
  ])('refuses %s', async (_what, file, code, reason) => {
    const failure: unknown = await LlamaModel.open(engine, file()).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code });
    expect((failure as Error).message).toContain(reason);
  });

  it('heeds its signal', async () => {
    await expect(
      LlamaModel.open(engine, path, { signal: AbortSignal.abort(new Error('no')) }),
    ).rejects.toThrow('no');
  });

  function write(name: string, bytes: Uint8Array): string {
    writeFileSync(folder.at(name), bytes);
    return folder.at(name);
  }
});

describe('Vocabulary', () => {
  it('merges as the file says', () => {
    const { vocabulary } = model;
    expect(vocabulary.tokenize('the th')).toEqual(Int32Array.of(endToken, 257, 0x20, 256));
    expect(vocabulary.tokenize('')).toEqual(Int32Array.of(endToken));
    expect(vocabulary.tokenize('<|end|>', { addSpecial: false })).toHaveLength(7);
    expect(vocabulary.tokenize('<|end|>', { addSpecial: false, parseSpecial: true })).toEqual(
      Int32Array.of(endToken),
    );
    expect(vocabulary.endsGeneration(endToken)).toBe(true);
    expect(vocabulary.endsGeneration(65)).toBe(false);
  });

  it('round-trips any text, NUL and large ones included', () => {
    const { vocabulary } = model;
    const text = `Größe, 数, 🙂 and \0 the thing\n`.repeat(20_000);
    const tokens = vocabulary.tokenize(text, { addSpecial: false });
    expect(vocabulary.detokenize(tokens)).toBe(text);
    expect(vocabulary.detokenize(new Int32Array(0))).toBe('');
    expect(vocabulary.detokenize(Int32Array.of(endToken, 65), { unparseSpecial: true })).toBe('<|end|>A');
    expect(vocabulary.detokenize(Int32Array.of(endToken, 65))).toBe('A');
  });

  it.each([-1, vocabularySize, 2 ** 31 - 1])('refuses token %i', (token) => {
    expect(() => model.vocabulary.detokenize(Int32Array.of(65, token))).toThrow(
      expect.objectContaining({
        code: 'TOKEN_RANGE',
        message: expect.stringContaining(`found ${token} at index 1`) as string,
      }),
    );
    expect(() => model.vocabulary.endsGeneration(token)).toThrow(
      expect.objectContaining({ code: 'TOKEN_RANGE' }),
    );
  });
});

describe('lifetimes', () => {
  it('refuse use after disposal, and disposal before use has ended', async () => {
    const other = await LlamaModel.open(engine, path);
    const context = LlamaContext.create(other, { contextTokens: 8 });
    expect(() => other.dispose()).toThrow(expect.objectContaining({ code: 'ENGINE_IN_USE' }));
    context.dispose();
    context.dispose();
    expect(() => context.clearMemory()).toThrow(expect.objectContaining({ code: 'ENGINE_DISPOSED' }));
    expect(() => context.logits()).toThrow(expect.objectContaining({ code: 'ENGINE_DISPOSED' }));
    other.dispose();
    other.dispose();
    expect(() => other.metadata('general.name')).toThrow(
      expect.objectContaining({ code: 'ENGINE_DISPOSED' }),
    );
    expect(() => other.vocabulary.tokenize('a')).toThrow(
      expect.objectContaining({ code: 'ENGINE_DISPOSED' }),
    );
    expect(() => LlamaContext.create(other, { contextTokens: 8 })).toThrow(
      expect.objectContaining({ code: 'ENGINE_DISPOSED' }),
    );
  });
});
