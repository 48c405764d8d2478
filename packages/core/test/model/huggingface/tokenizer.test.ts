import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { BitsmithError } from '@bitsmith/formats';
import { describe, expect, test } from 'vitest';
import { AddedVocabulary, addedToken } from '../../../src/model/huggingface/tokenizer/added-tokens.js';
import { decodeAddedToken } from '../../../src/model/huggingface/tokenizer/decode-token.js';
import {
  PROBE_TEXT,
  preTokenizersByHash,
} from '../../../src/model/huggingface/tokenizer/pre-tokenizer-hashes.js';
import { preTokenizerByPattern, probeHash } from '../../../src/model/huggingface/tokenizer/pre-tokenizer.js';
import { parseSentencePieceModel } from '../../../src/model/huggingface/tokenizer/sentencepiece-model.js';
import { templateRoles } from '../../../src/model/huggingface/tokenizer/template-roles.js';
import { convert, tinyConfig, tinyFiles, tinyTokenizer } from './support/memory-folder.js';

const llama3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

describe('the pre-tokenizer', () => {
  test("the probe text is llama.cpp's", () => {
    expect(createHash('sha256').update(PROBE_TEXT).digest('hex')).toBe(
      'a36179c1e2b1cfcfbfad1dc779addad2ffc778201e4cf0d538bddeafa2c526da',
    );
    expect(preTokenizersByHash.size).toBe(91);
  });

  test('ids are hashed as Python writes a list', () => {
    expect(probeHash([1, 22, 333])).toBe(createHash('sha256').update('[1, 22, 333]').digest('hex'));
  });

  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  const split = (pattern: string, changes = {}): object => ({
    type: 'Sequence',
    pretokenizers: [
      { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false, ...changes },
      byteLevel,
    ],
  });
  const qwen2 = llama3.replace('\\p{N}{1,3}', '\\p{N}');
  const cases: [string, object | null, string | undefined][] = [
    ['GPT-2', { ...byteLevel, use_regex: true }, 'gpt-2'],
    [
      'GPT-2 in a sequence',
      { type: 'Sequence', pretokenizers: [{ ...byteLevel, use_regex: true }] },
      'gpt-2',
    ],
    [
      'single digits before GPT-2',
      {
        type: 'Sequence',
        pretokenizers: [
          { type: 'Digits', individual_digits: true },
          { ...byteLevel, use_regex: true },
        ],
      },
      'smollm',
    ],
    ['Llama 3', split(llama3), 'smaug-bpe'],
    ['Qwen 2', split(qwen2), 'qwen2'],
    ['Qwen 2, by removal between matches', split(qwen2, { behavior: 'Removed', invert: true }), 'qwen2'],
    ['Qwen 2, merged', split(qwen2, { behavior: 'MergedWithNext' }), undefined],
    ['another pattern', split('\\w+'), undefined],
    ['a prefix space', { ...byteLevel, use_regex: true, add_prefix_space: true }, undefined],
    ['none', null, undefined],
  ];
  test.each(cases)('%s', (_, preTokenizer, name) => {
    expect(preTokenizerByPattern({ pre_tokenizer: preTokenizer })).toBe(name);
  });

  test('a vocabulary that is looked up before its merges has another name, or none', () => {
    const model = { ignore_merges: true };
    expect(preTokenizerByPattern({ model, pre_tokenizer: split(llama3) })).toBe('llama-bpe');
    expect(preTokenizerByPattern({ model, pre_tokenizer: split(qwen2) })).toBe(undefined);
  });
});

describe('added tokens', () => {
  const base = new Map([
    ['a', 0],
    ['b', 1],
    ['<x>', 2],
  ]);

  test('known ones keep their id, new ones are appended, repeated ones take the new flags', () => {
    const added = new AddedVocabulary(base);
    for (const token of ['<new>', '<x>', '', '<newer>']) added.add(addedToken(token));
    added.add(addedToken('<new>', { special: true }));
    expect(
      added.entries().map(([id, { content, special, normalized }]) => [id, content, special, normalized]),
    ).toEqual([
      [2, '<x>', false, true],
      [3, '<new>', true, false],
      [4, '<newer>', false, true],
    ]);
  });

  const byteLevel = { type: 'ByteLevel' };
  const spiece = {
    type: 'Sequence',
    decoders: [
      { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
      { type: 'ByteFallback' },
      { type: 'Fuse' },
      { type: 'Strip', content: ' ', start: 1, stop: 0 },
    ],
  };
  const cases: [string, unknown, boolean, string][] = [
    ['<|im_start|>', byteLevel, false, '<|im_start|>'],
    ['Ġspaced', byteLevel, false, ' spaced'],
    ['é', byteLevel, false, '\ufffd'],
    ['<｜begin▁of｜>', byteLevel, false, '<｜begin▁of｜>'],
    ['▁▁two', spiece, false, ' two'],
    ['loose .', null, true, 'loose.'],
    ["it 's", null, true, "it's"],
    ['loose .', null, false, 'loose .'],
  ];
  test.each(cases)('%s is stored as its decoded text', (content, decoder, cleans, stored) => {
    expect(decodeAddedToken(content, decoder, cleans)).toBe(stored);
  });
});

describe('tokenizer.model', () => {
  const field = (number: number, wire: number, ...bytes: number[]): number[] => [number * 8 + wire, ...bytes];
  const piece = (text: string, score: number, type?: number): number[] => {
    const utf8 = new TextEncoder().encode(text);
    const float = new Uint8Array(Float32Array.of(score).buffer);
    const body = [
      ...field(1, 2, utf8.length, ...utf8),
      ...field(2, 5, ...float),
      ...(type === undefined ? [] : field(3, 0, type)),
    ];
    return field(1, 2, body.length, ...body);
  };

  test('pieces with text, score and type; other fields are stepped over', () => {
    const other = [
      ...field(2, 2, 3, 1, 2, 3),
      ...field(9, 0, 0xac, 0x02),
      ...field(10, 1, 1, 2, 3, 4, 5, 6, 7, 8),
      ...field(11, 5, 1, 2, 3, 4),
    ];
    const model = [...piece('<unk>', 0, 2), ...other, ...piece('▁the', -3.5), ...piece('<0x0A>', 0, 6)];
    expect(parseSentencePieceModel(Uint8Array.from(model))).toEqual([
      { text: '<unk>', score: 0, type: 2 },
      { text: '▁the', score: -3.5, type: 1 },
      { text: '<0x0A>', score: 0, type: 6 },
    ]);
  });

  test('anything else is a coded error', () => {
    const valid = Uint8Array.from([
      ...piece('<unk>', 0, 2),
      ...piece('▁the', -3.5),
      ...piece('x'.repeat(100), 1, 4),
    ]);
    const flip = fc.record({ at: fc.nat(valid.length - 1), byte: fc.nat(255), length: fc.nat(valid.length) });
    fc.assert(
      fc.property(flip, ({ at, byte, length }) => {
        const bytes = valid.slice(0, length);
        if (at < length) bytes[at] = byte;
        try {
          expect(parseSentencePieceModel(bytes).length).toBeGreaterThan(0);
        } catch (error) {
          expect(error).toBeInstanceOf(BitsmithError);
          expect((error as BitsmithError).code).toBe('TOKENIZER_MODEL');
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('templates', () => {
  const piece = (id: string): object =>
    id === 'A' || id === 'B' ? { Sequence: { id } } : { SpecialToken: { id } };
  const processor = (single: string[], pair: string[] = []): Record<string, unknown> => ({
    post_processor: { type: 'TemplateProcessing', single: single.map(piece), pair: pair.map(piece) },
  });
  const roles = ['bos', 'eos', 'unk', 'sep'];

  test('a first and a last token are BOS and EOS', () => {
    const read = templateRoles(
      processor(['<s>', 'A', '</s>']),
      { bos_token: '<s>', eos_token: '</s>' },
      roles,
    );
    expect([...read.adds]).toEqual([
      ['bos', true],
      ['eos', true],
    ]);
  });

  test('another last token makes EOS the end of a turn', () => {
    const read = templateRoles(processor(['A', '<end>']), { eos_token: '<turn>' }, roles);
    expect(read.roles).toEqual([...roles, 'eot']);
    expect(read.config).toMatchObject({ eot_token: '<turn>', eos_token: '<end>' });
  });

  test('a separator between two texts', () => {
    const read = templateRoles(
      processor(['<s>', 'A'], ['<s>', 'A', '<sep>', 'B']),
      { bos_token: '<s>', sep_token: '<sep>' },
      roles,
    );
    expect(read.adds.get('sep')).toBe(true);
  });
});

describe('what is written', () => {
  async function written(
    config: object,
    tokenizer: object = {},
  ): Promise<ReadonlyMap<string, { value: unknown }>> {
    const files = await tinyFiles({
      'tokenizer_config.json': { tokenizer_class: 'PreTrainedTokenizerFast', ...config },
      'tokenizer.json': { ...tinyTokenizer(), ...tokenizer },
    });
    return (await convert(files)).metadata;
  }

  test('special ids, and rows without a token', async () => {
    const metadata = await written({
      eos_token: '<|end|>',
      pad_token: { content: '<|end|>' },
      add_bos_token: false,
    });
    expect(metadata.get('tokenizer.ggml.pre')?.value).toBe('gpt-2');
    expect(metadata.get('tokenizer.ggml.eos_token_id')?.value).toBe(256);
    expect(metadata.get('tokenizer.ggml.padding_token_id')?.value).toBe(256);
    expect(metadata.get('tokenizer.ggml.add_bos_token')?.value).toBe(false);
    const tokens = metadata.get('tokenizer.ggml.tokens')!.value as string[];
    const types = metadata.get('tokenizer.ggml.token_type')!.value as Int32Array;
    expect(tokens.slice(255)).toEqual(['ÿ', '<|end|>', '[PAD257]', '[PAD258]', '[PAD259]']);
    expect(types.slice(255)).toEqual(Int32Array.from([1, 3, 5, 5, 5]));
  });

  test('a name that stands for BOS is told to add none, where the folder is silent', async () => {
    const pattern = { Regex: llama3 };
    const preTokenizer = {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern, behavior: 'Isolated', invert: false },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    };
    const model = { ...(tinyTokenizer().model as object), ignore_merges: true };
    const metadata = await written({}, { model, pre_tokenizer: preTokenizer });
    expect(metadata.get('tokenizer.ggml.pre')?.value).toBe('llama-bpe');
    expect(metadata.get('tokenizer.ggml.add_bos_token')?.value).toBe(false);
    const told = await written({ add_bos_token: true }, { model, pre_tokenizer: preTokenizer });
    expect(told.get('tokenizer.ggml.add_bos_token')?.value).toBe(true);
  });

  test('a list of ends in config.json names no end', async () => {
    const files = await tinyFiles({
      'config.json': { ...tinyConfig, eos_token_id: [1, 2], bos_token_id: 7 },
      'tokenizer_config.json': {},
    });
    const { metadata } = await convert(files);
    expect(metadata.has('tokenizer.ggml.eos_token_id')).toBe(false);
    expect(metadata.get('tokenizer.ggml.bos_token_id')?.value).toBe(7);
  });

  test('templates by name', async () => {
    const metadata = await written({
      chat_template: [
        { name: 'default', template: 'a' },
        { name: 'tool use', template: 'b' },
      ],
    });
    expect(metadata.get('tokenizer.chat_template')?.value).toBe('a');
    expect(metadata.get('tokenizer.chat_template.tool_use')?.value).toBe('b');
    expect(metadata.get('tokenizer.chat_templates')?.value).toEqual(['tool_use']);
  });
});
