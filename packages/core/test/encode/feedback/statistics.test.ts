import { expect, test } from 'vitest';
import { gramSizes } from '../../../src/encode/feedback/gram-sizes.js';
import { type EncoderMethod, roundingStatistics } from '../../../src/encode/feedback/statistics.js';
import type { SourceModel } from '../../../src/model/types.js';
import type { RunContext } from '../../../src/run/context.js';
import type { TokenizedText } from '../../../src/text/tokenize.js';
import { runJob } from '../../support/jobs.js';

/** As wide as a model of eight billion weights. */
const tensors = Array.from({ length: 32 }, (_, block) => [
  { name: `blk.${block}.attn_q.weight`, role: 'attention-q', shape: [4096, 4096], block },
  { name: `blk.${block}.attn_k.weight`, role: 'attention-k', shape: [4096, 1024], block },
  { name: `blk.${block}.attn_output.weight`, role: 'attention-output', shape: [4096, 4096], block },
  { name: `blk.${block}.ffn_up.weight`, role: 'mlp-up', shape: [4096, 14_336], block },
  { name: `blk.${block}.ffn_gate.weight`, role: 'mlp-gate', shape: [4096, 14_336], block },
  { name: `blk.${block}.ffn_down.weight`, role: 'mlp-down', shape: [14_336, 4096], block },
]).flat();
const model = { architecture: 'llama', tensors } as unknown as SourceModel;
const text = { name: 'text', chunks: [new Int32Array(8), new Int32Array(8)] } as unknown as TokenizedText;
/** Nothing is measured. */
const run = {} as RunContext;

const found = async (of: SourceModel, method: EncoderMethod, memoryBytes?: number) =>
  runJob(roundingStatistics(run, of, text, method, memoryBytes));

test('inputs that matrices share have one Gram matrix', () => {
  expect(gramSizes(model).diskBytes).toBe(2 * 4 * 32 * (3 * 4096 ** 2 + 14_336 ** 2));
});

test('what would take too much disk is left out, and told', async () => {
  const { result, events } = await found(model, 'auto');
  expect(result).toBeNull();
  expect(events).toEqual([
    expect.objectContaining({
      type: 'note',
      message: expect.stringMatching(
        /^Nearest codes .* 65\.5 GB of disk\. .*--encoder feedback\+refit/,
      ) as string,
    }),
  ]);
});

test('what does not fit a limit of memory is left out, and told', async () => {
  const small = { ...model, tensors: model.tensors.slice(0, 6) };
  const { result, events } = await found(small, 'auto', 2e9);
  expect(result).toBeNull();
  expect(events).toEqual([
    expect.objectContaining({ message: expect.stringContaining('--work-memory') as string }),
  ]);
});

test('the nearest codes need nothing', async () => {
  expect(await found(model, 'nearest')).toEqual({ result: null, events: [] });
});
