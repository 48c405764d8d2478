import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ComputeGraph, loadEngine, type Shape, Tape } from '../src/index.js';
import {
  type Algebra,
  differentiate,
  finiteDifferences,
  plainAlgebra,
  type Program,
} from './support/algebra.js';
import { plainRope } from './support/operations.js';
import {
  fill,
  matrixProduct,
  nodeOf,
  randomTensor,
  relativeDifference,
  type Tensor,
} from './support/tensors.js';

const engine = loadEngine({ threads: 1 });

/** A graph computes in single precision, and GELU's values have 11 bits; slopes are exact. */
const tolerance = { float: 2e-5, gelu: 4e-3 };

async function expectGradient(
  program: Program,
  x: Tensor,
  seed: number,
  allowed = tolerance.float,
): Promise<void> {
  const upper = (shape: Shape): Tensor => randomTensor(shape, seed + 77, 1);
  const expected = program(plainAlgebra, x);
  const found = await differentiate(engine, program, x, upper);
  expect(relativeDifference(found.output, expected.values)).toBeLessThan(allowed);
  const slopes = finiteDifferences((value) => program(plainAlgebra, value), x, upper(expected.shape));
  expect(relativeDifference(found.gradient, slopes)).toBeLessThan(allowed);
}

const constant = (seed: number, ...shape: readonly [number, number?, number?, number?]): Tensor =>
  randomTensor([shape[0], shape[1] ?? 1, shape[2] ?? 1, shape[3] ?? 1], seed, 1);

/** Keys a position may see: itself and what came before, of the last `window`. */
const causal = (count: number, window = count): Tensor =>
  fill([count, count, 1, 1], ([key, query]) => (key <= query && query - key < window ? 0 : -Infinity));

const counted = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('gradients of every operation equal finite differences', () => {
  const x: Tensor = randomTensor([6, 4, 2, 1], 5);
  const programs: [string, Program, Tensor?, number?][] = [
    ['linear', (a, v) => a.linear(constant(1, 6, 5), v), constant(2, 6, 4)],
    ['matrixProduct, both sides', (a, v) => a.matrixProduct(a.scale(v, 0.5), a.silu(v))],
    ['add, the same value twice', (a, v) => a.add(v, v)],
    ['add', (a, v) => a.add(a.silu(v), v)],
    ['addConstant, repeated', (a, v) => a.silu(a.addConstant(v, constant(3, 6)))],
    ['timesConstant, repeated', (a, v) => a.timesConstant(v, constant(4, 6, 4))],
    ['times', (a, v) => a.times(v, a.silu(v))],
    ['times, the same value twice', (a, v) => a.times(v, v)],
    ['scale', (a, v) => a.scale(v, -1.7)],
    ['rmsNorm', (a, v) => a.rmsNorm(v, 1e-3)],
    ['silu', (a, v) => a.silu(v)],
    ['softCap', (a, v) => a.softCap(v, 1.3)],
    ['softmax', (a, v) => a.softmax(v, null, 0.8)],
    ['softmax under a mask', (a, v) => a.softmax(v, causal(6, 3), 1.5), randomTensor([6, 6, 2, 1], 8)],
    ['reshape', (a, v) => a.silu(a.reshape(v, 8, 3, 2))],
    ['swap', (a, v) => a.timesConstant(a.swap(v, 0, 2, 1, 3), constant(6, 6, 2, 4))],
    ['swap of the first axes', (a, v) => a.timesConstant(a.swap(v, 1, 0, 2, 3), constant(6, 4, 6))],
    [
      'split',
      (a, v) => {
        const [p, q, r] = a.split(v, [2, 2, 2]);
        return a.times(a.times(p, q), a.silu(r));
      },
    ],
    [
      'split, a part twice',
      (a, v) => {
        const [p, q] = a.split(v, [3, 3]);
        return a.add(a.times(p, q), a.silu(p));
      },
    ],
    ['split, a part unused', (a, v) => a.silu(a.split(v, [1, 3, 2])[1])],
    ['split in one', (a, v) => a.silu(a.split(v, [6])[0])],
    ['a value used by three', (a, v) => a.add(a.add(a.silu(v), a.rmsNorm(v, 1e-2)), a.softCap(v, 2))],
    ['gelu', (a, v) => a.gelu(v), x, tolerance.gelu],
  ];
  it.each(programs)('%s', async (_, program, input, allowed) => {
    for (const seed of [1, 2, 3])
      await expectGradient(program, input ?? randomTensor(x.shape, seed), seed, allowed);
  });

  it('gelu: the slope itself is exact', async () => {
    const steep = fill([400, 1, 1, 1], ([i]) => (i - 200) / 25);
    const ones = (shape: Shape): Tensor => fill(shape, () => 1);
    const { gradient } = await differentiate(engine, (a, v) => a.gelu(v), steep, ones);
    const slopes = finiteDifferences((v) => plainAlgebra.gelu(v), steep, ones(steep.shape));
    gradient.forEach((slope, i) => expect(Math.abs(slope - slopes[i])).toBeLessThan(2e-6));
  });

  const ropes = fc.record({
    mode: fc.constantFrom<0 | 2>(0, 2),
    dimensions: fc.constantFrom(4, 6, 8),
    scale: fc.constantFrom(1, 0.25),
    extrapolation: fc.constantFrom(0, 1),
    attention: fc.constantFrom(1, 1.19),
    factors: fc.constantFrom(null, [1, 1.5, 3, 8]),
    seed: fc.integer({ min: 0, max: 1000 }),
  });
  it('rope: both modes, parts of heads, factors, stretched', async () => {
    await fc.assert(
      fc.asyncProperty(ropes, async ({ seed, factors, ...settings }) => {
        const program: Program = (a, v) =>
          a.rope(v, [3, 0, 11, 25, 1], factors, { ...plainRope, originalContext: 32, base: 50, ...settings });
        await expectGradient(program, randomTensor([8, 3, 5, 1], seed), seed, 5e-5);
      }),
      { numRuns: 30 },
    );
  });

  it('matrixProduct: values that several share', async () => {
    for (const [shared, repeats] of [
      [1, 4],
      [2, 2],
      [3, 1],
      [2, 3],
    ] as const) {
      const left: Program = (a, v) =>
        a.matrixProduct(
          v,
          a.addConstant(a.reshape(a.matrixProduct(v, v), 4, 4, shared), constant(1, 4, 4, shared)),
        );
      await expectGradient(left, randomTensor([4, 4, shared, 1], repeats), 4);
      const heads = shared * repeats;
      const asKeys: Program = (a, v) => {
        const [keys, rest] = a.split(a.reshape(v, 3 * 5 * (shared + heads)), [3 * 5 * shared, 3 * 5 * heads]);
        return a.matrixProduct(a.reshape(keys, 3, 5, shared), a.reshape(rest, 3, 5, heads));
      };
      await expectGradient(asKeys, randomTensor([15, shared + heads, 1, 1], repeats + 9), 5);
    }
  });
});

interface AttentionShape {
  readonly headSize: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly count: number;
  readonly window: number;
  readonly mode: 0 | 2;
  readonly normed: boolean;
}

/** Attention as transformers have it, on one fused projection. */
function attention<Value>(a: Algebra<Value>, x: Value, width: number, shape: AttentionShape): Value {
  const { headSize, heads, keyValueHeads, count } = shape;
  const sizes = [heads, keyValueHeads, keyValueHeads].map((parts) => parts * headSize);
  const fused = a.linear(constant(1, width, sizes[0] + 2 * sizes[1]), x);
  const [q, k, v] = a.split(fused, sizes);
  const turned = (part: Value, parts: number): Value => {
    const cut = a.reshape(part, headSize, parts, count);
    const ready = shape.normed ? a.timesConstant(a.rmsNorm(cut, 1e-3), constant(9, headSize)) : cut;
    const settings = { ...plainRope, dimensions: headSize, mode: shape.mode, base: 20 };
    return a.swap(a.rope(ready, counted(count), null, settings), 0, 2, 1, 3);
  };
  const scores = a.matrixProduct(turned(k, keyValueHeads), turned(q, heads));
  const shares = a.softmax(scores, causal(count, shape.window), 1 / Math.sqrt(headSize));
  const values = a.swap(a.swap(a.reshape(v, headSize, keyValueHeads, count), 0, 2, 1, 3), 1, 0, 2, 3);
  const mixed = a.reshape(a.swap(a.matrixProduct(values, shares), 0, 2, 1, 3), headSize * heads, count);
  return a.add(a.linear(constant(2, headSize * heads, width), mixed), x);
}

describe('gradients of whole parts of a model equal finite differences', () => {
  const shapes = fc.record({
    headSize: fc.constantFrom(2, 4, 6),
    keyValueHeads: fc.integer({ min: 1, max: 2 }),
    group: fc.integer({ min: 1, max: 3 }),
    count: fc.integer({ min: 1, max: 6 }),
    window: fc.integer({ min: 1, max: 7 }),
    mode: fc.constantFrom<0 | 2>(0, 2),
    normed: fc.boolean(),
    width: fc.integer({ min: 2, max: 7 }),
    seed: fc.integer({ min: 0, max: 1000 }),
  });
  it('attention: grouped heads, windows, norms of queries and keys', async () => {
    await fc.assert(
      fc.asyncProperty(shapes, async ({ group, width, seed, ...shape }) => {
        const program: Program = (a, x) =>
          attention(a, x, width, { ...shape, heads: group * shape.keyValueHeads });
        await expectGradient(program, randomTensor([width, shape.count, 1, 1], seed), seed, 2e-4);
      }),
      { numRuns: 30 },
    );
  });

  it.each(['silu', 'gelu'] as const)(
    'a gated network with %s, normed before and after, bent at the end',
    async (bent) => {
      const program: Program = (a, x) => {
        const normed = a.timesConstant(a.rmsNorm(x, 1e-4), constant(3, 6));
        const [gate, up] = a.split(
          a.addConstant(a.linear(constant(4, 6, 10), normed), constant(5, 10)),
          [5, 5],
        );
        const down = a.linear(constant(6, 5, 6), a.times(bent === 'gelu' ? a.gelu(gate) : a.silu(gate), up));
        return a.softCap(a.add(a.rmsNorm(down, 1e-4), x), 3);
      };
      for (const seed of [1, 2, 3, 4])
        await expectGradient(program, randomTensor([6, 7, 1, 1], seed), seed, bent === 'gelu' ? 2e-2 : 1e-4);
    },
  );

  it('random chains of operations', async () => {
    const steps = fc.array(fc.tuple(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 1, max: 99 })), {
      minLength: 2,
      maxLength: 9,
    });
    await fc.assert(
      fc.asyncProperty(steps, fc.integer({ min: 0, max: 1000 }), async (chain, seed) => {
        const program: Program = (a, x) =>
          chain.reduce((value, [kind, number]) => anyStep(a, value, x, kind, number), x);
        await expectGradient(program, randomTensor([6, 6, 2, 1], seed, 1), seed, 1e-3);
      }),
      { numRuns: 40 },
    );
  });
});

/** [6, 6, 2] -> [6, 6, 2]; none makes values much larger. */
function anyStep<Value>(a: Algebra<Value>, value: Value, x: Value, kind: number, number: number): Value {
  const steps: readonly (() => Value)[] = [
    () => a.silu(value),
    () => a.softCap(value, 1 + number / 50),
    () => a.softmax(value, number % 2 === 0 ? causal(6, 2) : null, 1),
    () => a.rmsNorm(value, 0.1),
    () => a.add(a.scale(value, 0.6), x),
    () => a.times(a.softCap(value, 1), a.softCap(x, 1)),
    () => a.scale(a.matrixProduct(value, a.softCap(x, 1)), 0.3),
    () => a.swap(value, 1, 0, 2, 3),
    () =>
      a.rope(a.reshape(value, 6, 2, 6), counted(6), null, {
        ...plainRope,
        dimensions: 4,
        mode: number % 2 === 0 ? 0 : 2,
      }),
    () => {
      const [p, q] = a.split(value, [3, 3]);
      return a.softCap(a.matrixProduct(p, q), 2);
    },
    () => a.timesConstant(a.addConstant(value, constant(number, 6)), constant(number + 1, 6, 6)),
  ];
  const shaped = steps[kind]();
  return a.reshape(shaped, 6, 6, 2);
}

describe('what a tape tells of weights', () => {
  it('inputs and output gradients whose product is the gradient of the weight', async () => {
    const [weight, x] = [randomTensor([5, 4, 1, 1], 1), randomTensor([5, 7, 1, 1], 2)];
    const upper = randomTensor([4, 7, 1, 1], 3);
    const graph = new ComputeGraph(engine, 64);
    const tape = new Tape(graph);
    const start = nodeOf(graph, x);
    const input = tape.silu(start);
    const first = tape.linear(
      {
        name: 'first',
        forward: nodeOf(graph, weight),
        transposed: nodeOf(graph, plainAlgebra.swap(weight, 1, 0, 2, 3)),
      },
      input,
    );
    const square = randomTensor([4, 4, 1, 1], 4);
    const second = tape.linear(
      {
        name: 'last',
        forward: nodeOf(graph, square),
        transposed: nodeOf(graph, plainAlgebra.swap(square, 1, 0, 2, 3)),
      },
      tape.softCap(first, 2),
    );
    tape.backward(second, nodeOf(graph, upper), start);
    expect(tape.products.map(({ name }) => name)).toEqual(['last', 'first']);
    const kept = tape.products.map((product) => {
      const arrays = { dy: new Float32Array(4 * 7), x: new Float32Array(product.input.shape[0] * 7) };
      graph.store(product.outputGradient, arrays.dy);
      graph.store(product.input, arrays.x);
      return arrays;
    });
    await graph.compute();
    graph.dispose();
    const forward = (changed: Tensor): Tensor =>
      matrixProduct(square, plainAlgebra.softCap(matrixProduct(changed, plainAlgebra.silu(x)), 2));
    const slopes = finiteDifferences(forward, weight, upper);
    const gradient = fill([5, 4, 1, 1], ([column, row]) =>
      Array.from({ length: 7 }, (_, t) => kept[1].dy[t * 4 + row] * kept[1].x[t * 5 + column]).reduce(
        (sum, part) => sum + part,
        0,
      ),
    );
    expect(relativeDifference(gradient.values, slopes)).toBeLessThan(2e-5);
  });
});

describe('what a tape refuses', () => {
  const graph = new ComputeGraph(engine, 128);
  const [x, short] = [nodeOf(graph, constant(1, 4, 3)), nodeOf(graph, constant(2, 4))];
  it.each<[string, (tape: Tape) => unknown]>([
    ['add of a shorter value: its gradient would not fit', (tape) => tape.add(x, short)],
    ['times of a shorter value', (tape) => tape.times(x, short)],
    ['a swap that is a rotation', (tape) => tape.swap(x, 1, 2, 0, 3)],
    ['a split that leaves something over', (tape) => tape.split(x, [1, 2])],
    ['a gradient of another shape', (tape) => tape.backward(tape.silu(x), short, x)],
    [
      'a product of four axes',
      (tape) =>
        tape.matrixProduct(nodeOf(graph, constant(1, 2, 2, 1, 2)), nodeOf(graph, constant(1, 2, 2, 1, 2))),
    ],
  ])('%s: GRAPH_SHAPE', (_, call) => {
    expect(() => call(new Tape(graph))).toThrow(expect.objectContaining({ code: 'GRAPH_SHAPE' }));
  });

  it('to walk twice, or to an input that the output does not come from: GRAPH_TAPE', () => {
    const refused = expect.objectContaining({ code: 'GRAPH_TAPE' });
    const tape = new Tape(graph);
    const y = tape.silu(x);
    tape.backward(y, y, x);
    expect(() => tape.backward(y, y, x)).toThrow(refused);
    const other = new Tape(graph);
    expect(() => other.backward(other.silu(x), x, short)).toThrow(refused);
  });
});
