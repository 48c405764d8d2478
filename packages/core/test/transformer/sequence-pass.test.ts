import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { loadEngine } from '@bitsmith/ggml';
import { beforeAll, describe, expect, test } from 'vitest';
import type { PassSettings } from '../../src/transformer/blocks.js';
import type { SequenceGradients } from '../../src/transformer/sequence-gradients.js';
import type { SquaredGradient } from '../../src/transformer/squared-gradient.js';
import { expectFailure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';
import { openPass } from '../support/tiny-pass.js';
import {
  matrixShapes,
  type TinyFamily,
  type TinyShape,
  tinyFamilies,
  tinyTokens,
  WeightEditor,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';

const engine = loadEngine({ threads: 2 });
const folder = await temporaryFolder();
const POSITIONS = 24;
const VOCABULARY = 40;
const sequences = [4, 0, 9, 2, 7].map((index) => ({
  index,
  tokens: tinyTokens(POSITIONS, VOCABULARY, index + 1),
}));

const names = {
  tied: 'gemma3 with bent logits and a pattern of two',
  untied: 'llama with biases, stretched',
} as const satisfies Record<string, TinyFamily>;
type Kind = keyof typeof names;
const shapes: Readonly<Record<Kind, TinyShape>> = {
  tied: tinyFamilies[names.tied],
  untied: tinyFamilies[names.untied],
};
const fileOf = (kind: Kind): string => path.join(folder, `${kind}.gguf`);

async function gradientsOf(
  file: string,
  settings: Partial<PassSettings> = {},
  wanted = sequences,
): Promise<SequenceGradients[]> {
  await using opened = await openPass(engine, file, { positions: POSITIONS, firstScored: 3, ...settings });
  return await opened.pass.run(wanted);
}

beforeAll(async () => {
  for (const kind of ['tied', 'untied'] as const) await writeTinyTransformer(fileOf(kind), shapes[kind], 3);
});

describe.each(['tied', 'untied'] as const)('%s: the same bits', (kind) => {
  let reference: SequenceGradients[];
  beforeAll(async () => {
    reference = await gradientsOf(fileOf(kind));
  });

  test('hold every weight matrix, finite and not zero', () => {
    for (const { squared } of reference) {
      expect(new Set(squared.keys())).toEqual(new Set(matrixShapes(shapes[kind]).keys()));
      for (const [name, [columns, rows]] of matrixShapes(shapes[kind])) {
        const found = squared.get(name);
        expect(found?.rows).toHaveLength(rows);
        expect(found?.columns).toHaveLength(columns);
        expect(found?.rows.every(Number.isFinite)).toBe(true);
        expect(found?.columns.some((value) => value > 0)).toBe(true);
      }
    }
  });

  test.each([2, 3])('on %i lanes', async (lanes) => {
    expect(await gradientsOf(fileOf(kind), { lanes })).toEqual(reference);
  });

  test('with activations on disk, whose file is gone afterwards', async () => {
    const scratchPath = path.join(folder, 'activations');
    expect(await gradientsOf(fileOf(kind), { scratchPath, lanes: 2 })).toEqual(reference);
    expect(await readdir(folder)).not.toContain('activations');
  });

  test('whatever sequences share the walk, and in whatever order', async () => {
    expect(await gradientsOf(fileOf(kind), {}, sequences.toReversed())).toEqual(reference.toReversed());
    for (const [at, sequence] of sequences.entries())
      expect(await gradientsOf(fileOf(kind), {}, [sequence])).toEqual([reference[at]]);
  });

  test('of a pass that runs again', async () => {
    await using opened = await openPass(engine, fileOf(kind), {
      positions: POSITIONS,
      firstScored: 3,
      lanes: 2,
    });
    await opened.pass.logits(sequences[1]);
    expect(await opened.pass.run(sequences)).toEqual(reference);
    expect(await opened.pass.run(sequences)).toEqual(reference);
  });

  // 8 bytes a weight, both ways round: 13 rows of 32 weights, then 1.
  test.each([13 * 32 * 8, 8])(
    'with a head in slabs of %i bytes, but for the order of sums',
    async (headSlabBytes) => {
      const found = await gradientsOf(fileOf(kind), { headSlabBytes, lanes: 2 });
      expect(found.map(({ labels }) => labels)).toEqual(reference.map(({ labels }) => labels));
      for (const [at, { squared }] of found.entries()) {
        for (const [name, { rows, columns }] of squared) {
          const expected = reference[at].squared.get(name) as SquaredGradient;
          expectClose(rows, expected.rows);
          expectClose(columns, expected.columns);
        }
      }
      expect(await gradientsOf(fileOf(kind), { headSlabBytes, lanes: 3 })).toEqual(found);
    },
  );

  test('only where seed and sequence are the same', async () => {
    const [other] = await gradientsOf(fileOf(kind), { seed: 2 }, sequences.slice(0, 1));
    expect(other.labels).not.toEqual(reference[0].labels);
    const [renumbered] = await gradientsOf(fileOf(kind), {}, [{ ...sequences[0], index: 5 }]);
    expect(renumbered.labels).not.toEqual(reference[0].labels);
  });
});

function expectClose(found: Float32Array, expected: Float32Array): void {
  const largest = Math.max(...expected);
  found.forEach((value, i) => expect(Math.abs(value - expected[i])).toBeLessThan(2e-5 * largest));
}

describe('what a pass refuses', () => {
  // Token 30 comes second in the first sequence, and nowhere else.
  const second = sequences[0].tokens.map((token, at) => (at === 1 ? 30 : token === 30 ? 31 : token));
  const withSecond = [{ ...sequences[0], tokens: second }];
  test.each([
    [
      'blk.2.ffn_down.weight',
      1,
      NaN,
      /behind block 2, found NaN or infinity at token 0 \(id \d+\) of sequence 4/,
    ],
    [
      'blk.1.attn_k.weight',
      1,
      Infinity,
      /behind block 1, found NaN or infinity at token 0 \(id \d+\) of sequence 4/,
    ],
    [
      'token_embd.weight',
      30,
      Infinity,
      /behind block 0, found NaN or infinity at token 1 \(id 30\) of sequence 4/,
    ],
    [
      'token_embd.weight',
      30,
      NaN,
      /behind block 0, found NaN or infinity at token 1 \(id 30\) of sequence 4/,
    ],
  ] as const)('activations that are not finite, by %s row %i: %f', async (tensor, row, value, message) => {
    const file = path.join(folder, 'broken.gguf');
    await writeTinyTransformer(file, shapes.tied, 3);
    await new WeightEditor(file).during({ tensor, row, column: 2 }, value, () =>
      expectFailure(
        () => gradientsOf(file, { lanes: 2 }, withSecond),
        'analysis',
        'ACTIVATION_NOT_FINITE',
        message,
      ),
    );
  });

  test('an output head that overflows, where blocks do not', async () => {
    const file = path.join(folder, 'head.gguf');
    await writeTinyTransformer(file, shapes.untied, 3);
    await new WeightEditor(file).during({ tensor: 'output.weight', row: 1, column: 2 }, Infinity, () =>
      expectFailure(() => gradientsOf(file), 'analysis', 'ACTIVATION_NOT_FINITE', /behind the output head/),
    );
  });

  const broken: readonly (readonly [string, Partial<TinyShape>])[] = [
    ['another architecture', { architecture: 'gpt2' }],
    ['a bias of the output head', { factors: { 'output.bias': Array<number>(40).fill(0) } }],
    ['a norm of the embedding', { factors: { 'token_embd_norm.weight': Array<number>(32).fill(1) } }],
    ['a part of a block that none has', { norms: ['layer_output_norm'] }],
    ['experts', { keys: { expert_count: { type: 'uint32', value: 4 } } }],
    ['attention to later positions', { keys: { 'attention.causal': { type: 'bool', value: false } } }],
    ['values of another size', { keys: { 'attention.value_length': { type: 'uint32', value: 4 } } }],
    [
      'heads that differ',
      {
        keys: {
          'attention.head_count_kv': { type: 'array', itemType: 'uint32', value: Uint32Array.of(1, 2) },
        },
      },
    ],
  ];
  test.each(broken)('%s: GRAPH_UNSUPPORTED', async (_, change) => {
    const file = path.join(folder, 'unsupported.gguf');
    await writeTinyTransformer(file, { ...tinyFamilies.llama, ...change });
    await expectFailure(() => gradientsOf(file), 'unsupported', 'GRAPH_UNSUPPORTED', /--method rtn|found/);
  });

  test('metadata that do not describe the tensors: GRAPH_SHAPE', async () => {
    const file = path.join(folder, 'contradiction.gguf');
    const keys = { 'attention.head_count': { type: 'uint32', value: 5 } } as const;
    await writeTinyTransformer(file, { ...tinyFamilies.llama, keys });
    await expectFailure(() => gradientsOf(file), 'validation', 'GRAPH_SHAPE');
  });

  test('to go on when it is stopped, and leaves nothing on the disk', async () => {
    const controller = new AbortController();
    const scratchPath = path.join(folder, 'stopped');
    await using opened = await openPass(engine, fileOf('tied'), {
      positions: POSITIONS,
      scratchPath,
      lanes: 2,
    });
    const running = opened.pass.run(sequences, controller.signal);
    controller.abort(new Error('enough'));
    await expect(running).rejects.toThrow('enough');
    expect(await readdir(folder)).not.toContain('stopped');
    expect(await opened.pass.run(sequences)).toHaveLength(5);
  });
});
