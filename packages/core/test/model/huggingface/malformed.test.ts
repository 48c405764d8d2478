import { type BitsmithError, type SafetensorsTensorSpec } from '@bitsmith/formats';
import { describe, expect, test } from 'vitest';
import { supportedArchitectures } from '../../../src/model/huggingface/index.js';
import {
  convert,
  type Files,
  safetensors,
  tinyConfig,
  tinyFiles,
  tinyTensors,
  tinyTokenizer,
  without,
} from './support/memory-folder.js';

async function failure(files: Files | Promise<Files>): Promise<Partial<BitsmithError>> {
  const error = await convert(await files).then(
    () => ({}),
    (cause: BitsmithError) => cause,
  );
  const { kind, code, message, expected, found, suggestion } = error as BitsmithError;
  return { kind, code, message, expected, found, suggestion };
}

const config = (changes: object): Promise<Files> =>
  tinyFiles({ 'config.json': { ...tinyConfig, ...changes } });

async function weights(change: (specs: SafetensorsTensorSpec[]) => SafetensorsTensorSpec[]): Promise<Files> {
  return tinyFiles({ 'model.safetensors': await safetensors(change(tinyTensors())) });
}

const tokenizer = (changes: object): Promise<Files> =>
  tinyFiles({ 'tokenizer.json': { ...tinyTokenizer(), ...changes } });

test('the untouched folder converts', async () => {
  await expect(convert(await tinyFiles())).resolves.toMatchObject({
    architecture: 'llama',
    outputType: 'BF16',
  });
});

test('an unsupported architecture names the supported ones, and that a GGUF is taken', async () => {
  const found = await failure(config({ architectures: ['MambaForCausalLM'] }));
  expect(found).toMatchObject({
    kind: 'unsupported',
    code: 'ARCHITECTURE_UNSUPPORTED',
    found: 'MambaForCausalLM',
  });
  for (const name of supportedArchitectures) expect(found.message).toContain(name);
  expect(found.message).toContain('GGUF');
  expect(found.suggestion).toContain('.gguf');
});

describe('configuration', () => {
  const cases: [string, () => Promise<Files>, string, string][] = [
    [
      'no config.json',
      async () => without(await tinyFiles(), 'config.json'),
      'model-not-found',
      'MODEL_CONFIG_MISSING',
    ],
    ['no JSON', () => tinyFiles({ 'config.json': '{' }), 'validation', 'MODEL_JSON'],
    ['no object', () => tinyFiles({ 'config.json': [] }), 'validation', 'MODEL_JSON'],
    ['no architecture', () => config({ architectures: [] }), 'validation', 'MODEL_CONFIG'],
    ['a layer count that is no count', () => config({ num_hidden_layers: -1 }), 'validation', 'MODEL_CONFIG'],
    [
      'a context length that is no number',
      () => config({ max_position_embeddings: 'long' }),
      'validation',
      'MODEL_CONFIG',
    ],
    [
      'a norm epsilon that is no number',
      () => config({ rms_norm_eps: '1e-5' }),
      'validation',
      'MODEL_CONFIG',
    ],
    [
      'quantized weights',
      () => config({ quantization_config: { quant_method: 'gptq' } }),
      'unsupported',
      'MODEL_QUANTIZED',
    ],
    ['a draft model', () => config({ draft_vocab_size: 3 }), 'unsupported', 'MODEL_VARIANT'],
    ['heads of odd width', () => config({ head_dim: 3 }), 'unsupported', 'MODEL_VARIANT'],
  ];
  test.each(cases)('%s', async (_, files, kind, code) => {
    expect(await failure(files())).toMatchObject({ kind, code, suggestion: expect.any(String) });
  });
});

describe('weights', () => {
  const cases: [string, () => Promise<Files>, string, string, string][] = [
    [
      'none',
      async () => without(await tinyFiles(), 'model.safetensors'),
      'model-not-found',
      'WEIGHTS_MISSING',
      '',
    ],
    [
      'pickles only',
      async () => ({ ...without(await tinyFiles(), 'model.safetensors'), 'pytorch_model.bin': 'x' }),
      'unsupported',
      'WEIGHTS_PICKLED',
      'pytorch_model.bin',
    ],
    [
      'a tensor missing',
      () => weights((specs) => specs.slice(1)),
      'validation',
      'MODEL_TENSOR_MISSING',
      'embed_tokens',
    ],
    [
      'a head missing',
      () => weights((specs) => specs.filter(({ name }) => name !== 'lm_head.weight')),
      'validation',
      'MODEL_TENSOR_MISSING',
      'lm_head',
    ],
    [
      'a tensor too many',
      () =>
        weights((specs) => [
          ...specs,
          { name: 'model.layers.1.mlp.up_proj.weight', dtype: 'F16', shape: [12, 8] },
        ]),
      'validation',
      'MODEL_TENSOR_UNEXPECTED',
      'model.layers.1',
    ],
    [
      'another shape',
      () => weights(([first, ...rest]) => [{ ...first, shape: [260, 9] }, ...rest]),
      'validation',
      'MODEL_TENSOR_SHAPE',
      '[260, 9]',
    ],
    [
      'integers',
      () => weights(([first, ...rest]) => [{ ...first, dtype: 'I32' }, ...rest]),
      'unsupported',
      'MODEL_TENSOR_DTYPE',
      'I32',
    ],
    [
      'a truncated file',
      async () => tinyFiles({ 'model.safetensors': (await safetensors(tinyTensors())).subarray(0, 4000) }),
      'validation',
      'SAFETENSORS_TENSOR_OUTSIDE',
      '',
    ],
    [
      'an index without its files',
      () =>
        tinyFiles({
          'model.safetensors.index.json': { weight_map: { 'lm_head.weight': 'model-1.safetensors' } },
        }),
      'model-not-found',
      'SHARD_MISSING',
      'model-1.safetensors',
    ],
    [
      'an index that climbs',
      () => tinyFiles({ 'model.safetensors.index.json': { weight_map: { x: '../model.safetensors' } } }),
      'validation',
      'SHARD_NAME',
      '..',
    ],
    [
      'an index that names too little',
      () =>
        tinyFiles({
          'model.safetensors.index.json': { weight_map: { 'lm_head.weight': 'model.safetensors' } },
        }),
      'validation',
      'SHARD_TENSOR_UNLISTED',
      'index',
    ],
  ];
  test.each(cases)('%s', async (_, files, kind, code, mention) => {
    const found = await failure(files());
    expect(found).toMatchObject({ kind, code, suggestion: expect.any(String) });
    expect(`${found.message} ${found.found}`).toContain(mention);
  });

  test('a tied model needs no head, and may have one', async () => {
    const tied = { ...tinyConfig, tie_word_embeddings: true };
    const headless = await safetensors(tinyTensors().filter(({ name }) => name !== 'lm_head.weight'));
    const names = async (files: Files): Promise<string[]> =>
      (await convert(files)).tensors.map(({ spec }) => spec.name);
    expect(
      await names(await tinyFiles({ 'config.json': tied, 'model.safetensors': headless })),
    ).not.toContain('output.weight');
    expect(await names(await tinyFiles({ 'config.json': tied }))).toContain('output.weight');
  });
});

describe('tokenizer', () => {
  const lfs = 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n';
  const split = { type: 'Split', pattern: { Regex: 'x' }, behavior: 'Isolated', invert: false };
  const cases: [string, () => Promise<Files>, string, string][] = [
    [
      'none',
      async () => without(await tinyFiles(), 'tokenizer.json'),
      'model-not-found',
      'TOKENIZER_MISSING',
    ],
    [
      'a pointer in place of tokenizer.model',
      () => tinyFiles({ 'tokenizer.model': lfs }),
      'validation',
      'TOKENIZER_MODEL',
    ],
    [
      'another algorithm',
      () => tokenizer({ model: { type: 'WordPiece', vocab: {} } }),
      'unsupported',
      'TOKENIZER_UNSUPPORTED',
    ],
    [
      'a pre-tokenizer without a name',
      () => tokenizer({ pre_tokenizer: split }),
      'unsupported',
      'TOKENIZER_UNRECOGNISED',
    ],
    [
      'a step that does not exist',
      () => tokenizer({ pre_tokenizer: { type: 'Nonsense' } }),
      'unsupported',
      'TOKENIZER_UNSUPPORTED',
    ],
    ['more tokens than rows', () => config({ vocab_size: 200 }), 'validation', 'MODEL_TENSOR_SHAPE'],
    [
      "Mistral's own format only",
      async () => ({ ...without(await tinyFiles(), 'tokenizer.json'), 'tekken.json': {} }),
      'unsupported',
      'MODEL_VARIANT',
    ],
    [
      'a merge of three',
      () =>
        tokenizer({
          model: {
            ...(tinyTokenizer().model as object),
            merges: [
              ['a', 'b'],
              ['a', 'b', 'c'],
            ],
          },
        }),
      'validation',
      'TOKENIZER_MERGES',
    ],
  ];
  test.each(cases)('%s', async (_, files, kind, code) => {
    expect(await failure(files())).toMatchObject({ kind, code, suggestion: expect.any(String) });
  });

  test('an id outside the embedding', async () => {
    const added = [{ ...(tinyTokenizer().added_tokens as object[])[0], content: '<|1|>' }];
    const more = Array.from({ length: 8 }, (_, index) => ({ ...added[0], content: `<|${index}|>` }));
    expect(await failure(tokenizer({ added_tokens: more }))).toMatchObject({
      code: 'TOKENIZER_RANGE',
      found: '260',
    });
  });
});

test('an aborted signal ends the conversion with its reason', async () => {
  const { convertHuggingFace } = await import('../../../src/model/huggingface/index.js');
  const { MemoryFolder } = await import('./support/memory-folder.js');
  const reason = new Error('enough');
  const running = convertHuggingFace(new MemoryFolder('tiny', await tinyFiles()), {
    signal: AbortSignal.abort(reason),
  });
  await expect(running).rejects.toBe(reason);
});
