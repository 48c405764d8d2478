import * as fc from 'fast-check';
import { BitsmithError } from '@bitsmith/formats';
import { expect, test } from 'vitest';
import { convert, type Files, produced, tinyFiles } from './support/memory-folder.js';

const oddities = [
  null,
  true,
  -1,
  0,
  0.5,
  1e9,
  1e300,
  '',
  'x',
  '<|end|>',
  [],
  [null],
  ['x', 3],
  {},
  { a: 1 },
  { type: 'Sequence' },
];

/** Every place in a JSON value, as the keys that lead there. */
function places(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path];
  const entries = Object.entries(value);
  // The vocabulary is one place, and some of its entries: it would otherwise be all of them.
  const shown = entries.length > 100 ? entries.slice(0, 5) : entries;
  return [path, ...shown.flatMap(([key, item]) => places(item, [...path, key]))];
}

function replaced(value: unknown, path: readonly string[], item: unknown): unknown {
  if (path.length === 0) return item;
  const copy: Record<string, unknown> = Array.isArray(value)
    ? (value.slice() as never)
    : { ...(value as object) };
  copy[path[0]] = replaced(copy[path[0]], path.slice(1), item);
  return copy;
}

const rich: Files = {
  'config.json': {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: 260,
    hidden_size: 8,
    intermediate_size: 12,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    rms_norm_eps: 1e-5,
    rope_scaling: { rope_type: 'yarn', factor: 2, original_max_position_embeddings: 64, beta_fast: 32 },
    rope_theta: 10_000,
    eos_token_id: 256,
  },
  'tokenizer_config.json': {
    tokenizer_class: 'LlamaTokenizerFast',
    bos_token: '<|end|>',
    eos_token: { content: '<|end|>', special: true },
    add_bos_token: true,
    additional_special_tokens: ['<|end|>'],
    added_tokens_decoder: { 256: { content: '<|end|>', special: true } },
    chat_template: [{ name: 'default', template: 'x' }],
  },
  'generation_config.json': { temperature: 0.5, top_k: 4, sequence: 'x' },
  'added_tokens.json': { '<|later|>': 257 },
  'special_tokens_map.json': { pad_token: { content: '<|end|>' } },
  'README.md': '---\nlicense: mit\nbase_model: [a/b, {name: c}]\n---\n',
};

test('a folder with one wrong value converts or fails with a coded error', async () => {
  const files = await tinyFiles(rich);
  const candidates = Object.entries(files).flatMap(([file, value]) =>
    typeof value === 'string' || value instanceof Uint8Array
      ? []
      : places(value).map((path) => ({ file, path })),
  );
  const mutation = fc.record({ place: fc.constantFrom(...candidates), item: fc.constantFrom(...oddities) });
  let converted = 0;
  await fc.assert(
    fc.asyncProperty(mutation, async ({ place: { file, path }, item }) => {
      try {
        const model = await convert({ ...files, [file]: replaced(files[file], path, item) as object });
        await produced(model, 'token_embd.weight');
        converted += 1;
      } catch (error) {
        if (!(error instanceof BitsmithError)) throw error;
        expect(error.message).not.toBe('');
      }
    }),
    { numRuns: 1500, seed: 20_260_729 },
  );
  expect(converted).toBeGreaterThan(300);
});
