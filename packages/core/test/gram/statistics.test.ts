import { expect, test } from 'vitest';
import { gramSizes } from '../../src/gram/gram-sizes.js';
import { roundingStatistics } from '../../src/gram/statistics.js';
import type { EncoderMethod } from '../../src/plan/encoder-name.js';
import type { SourceModel } from '../../src/model/types.js';
import type { RunContext } from '../../src/run/context.js';
import type { TokenizedText } from '../../src/text/tokenize.js';
import { runJob } from '../support/jobs.js';

/** As wide as a model of eight billion weights. */
const tensors = [
  { name: 'token_embd.weight', role: 'embedding', shape: [4096, 128_256], block: null },
  ...Array.from({ length: 32 }, (_, block) => [
    { name: `blk.${block}.attn_q.weight`, role: 'attention-q', shape: [4096, 4096], block },
    { name: `blk.${block}.attn_k.weight`, role: 'attention-k', shape: [4096, 1024], block },
    { name: `blk.${block}.attn_output.weight`, role: 'attention-output', shape: [4096, 4096], block },
    { name: `blk.${block}.ffn_up.weight`, role: 'mlp-up', shape: [4096, 14_336], block },
    { name: `blk.${block}.ffn_gate.weight`, role: 'mlp-gate', shape: [4096, 14_336], block },
    { name: `blk.${block}.ffn_down.weight`, role: 'mlp-down', shape: [14_336, 4096], block },
  ]).flat(),
];
const model = { architecture: 'llama', tensors } as unknown as SourceModel;
const chunks = Array.from({ length: 64 }, () => new Int32Array(512));
const text = { name: 'text', contextTokens: 512, chunks } as unknown as TokenizedText;
/** Nothing is measured. */
const run = {} as RunContext;

const found = async (of: SourceModel, method: EncoderMethod, memoryBytes?: number) =>
  runJob(roundingStatistics(run, of, text, method, memoryBytes));

test('inputs that matrices share have one Gram matrix, of two bytes an entry of its triangle', () => {
  const packed = (width: number): number => width * (width + 1) + 4 * width;
  expect(gramSizes(model, 26_112)).toMatchObject({
    storedBytes: 2 * (packed(4096) + 32 * (3 * packed(4096) + packed(14_336))),
    scratchBytes: 4 * 4096 * 32 * 26_112,
  });
  expect(gramSizes(model, 400).scratchBytes).toBe(0);
});

test('what would take too much disk is left out, and told', async () => {
  const { result, events } = await found(model, 'auto');
  expect(result).toBeNull();
  expect(events).toEqual([
    expect.objectContaining({
      type: 'note',
      message: expect.stringMatching(
        /^Nearest codes .* 16\.4 GB of disk, measuring them 13\.7 GB more\. .*--encoder feedback\+refit/,
      ) as string,
    }),
  ]);
});

test.each([
  ['Llama-3.2-3B', 28, 3072, 3072, 8192],
  ['Qwen2.5-3B', 36, 2048, 2048, 11_008],
  ['Gemma-3-4B', 34, 2560, 2048, 10_240],
])('%s has matrices that are written without being asked for', (_, blocks, width, heads, feedForward) => {
  const all = [
    { name: 'token_embd.weight', role: 'embedding', shape: [width, 128_256], block: null },
    ...Array.from({ length: blocks }, (__, block) => [
      { name: `blk.${block}.attn_q.weight`, role: 'attention-q', shape: [width, heads], block },
      { name: `blk.${block}.attn_output.weight`, role: 'attention-output', shape: [heads, width], block },
      { name: `blk.${block}.ffn_up.weight`, role: 'mlp-up', shape: [width, feedForward], block },
      { name: `blk.${block}.ffn_down.weight`, role: 'mlp-down', shape: [feedForward, width], block },
    ]).flat(),
  ];
  const { storedBytes, scratchBytes } = gramSizes({ tensors: all } as unknown as SourceModel, 26_112);
  expect(storedBytes + scratchBytes).toBeLessThan(20e9);
});

test('what does not fit a limit of memory is left out, and told', async () => {
  const small = { ...model, tensors: model.tensors.slice(0, 7) };
  const { result, events } = await found(small, 'auto', 2e9);
  expect(result).toBeNull();
  expect(events).toEqual([
    expect.objectContaining({ message: expect.stringContaining('--work-memory') as string }),
  ]);
});

test('the nearest codes need nothing', async () => {
  expect(await found(model, 'nearest')).toEqual({ result: null, events: [] });
});
