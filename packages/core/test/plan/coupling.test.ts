import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  coupleOptions,
  couplingGroups,
  expandPicked,
  mergeCoupled,
  parseCouplings,
} from '../../src/plan/coupling.js';
import { applyFloors, parseFloor } from '../../src/plan/floors.js';
import { applyLocks, parseLock } from '../../src/plan/locks.js';
import { dataRange, storageOptions } from '../../src/plan/options.js';
import { makePlan } from '../../src/plan/plan.js';
import { planFromFile } from '../../src/plan/plan-from-file.js';
import { priceOptions } from '../../src/plan/price.js';
import { solve } from '../../src/plan/solve.js';
import { worthMeasuring } from '../../src/plan/worth-measuring.js';
import type { Choice } from '../../src/plan/types.js';
import { measurementsOf, smallLlama, tensorOf } from './models.js';

const tensors = smallLlama(2);
const groups = couplingGroups(tensors, ['qkv', 'gate-up']);
const source = { name: 'small', sha256: 'ab'.repeat(32) };

function options(locks: string[] = [], floors: string[] = []) {
  const storage = storageOptions(tensors, applyLocks(locks.map(parseLock), tensors));
  return coupleOptions(applyFloors(storage, floors.map(parseFloor)), groups);
}

function coupledPlan(share: number, locks: string[] = [], floors: string[] = [], seed = 1) {
  const storage = options(locks, floors);
  const { smallestBytes, largestBytes } = dataRange(storage);
  const bytes = Math.floor(smallestBytes + share * (largestBytes - smallestBytes));
  const choices = priceOptions(storage, measurementsOf(tensors, seed));
  return makePlan({ source, choices, groups, budget: { request: 'size', bytes }, headerBytes: 0 });
}

const schemeOf = (plan: ReturnType<typeof coupledPlan>, name: string) =>
  plan.tensors.find(({ tensor }) => tensor === name);

describe('couplingGroups', () => {
  it('finds what runtimes fuse, block by block', () => {
    expect(groups).toEqual([
      { kind: 'qkv', tensors: ['q', 'k', 'v'].map((part) => `blk.0.attn_${part}.weight`) },
      { kind: 'gate-up', tensors: ['blk.0.ffn_gate.weight', 'blk.0.ffn_up.weight'] },
      { kind: 'qkv', tensors: ['q', 'k', 'v'].map((part) => `blk.1.attn_${part}.weight`) },
      { kind: 'gate-up', tensors: ['blk.1.ffn_gate.weight', 'blk.1.ffn_up.weight'] },
    ]);
    expect(couplingGroups(tensors, [])).toEqual([]);
  });

  it('tells experts, shared experts, encoders and cross attention apart', () => {
    const names = [
      'blk.3.ffn_gate_exps',
      'blk.3.ffn_up_exps',
      'blk.3.ffn_gate_shexp',
      'blk.3.ffn_up_shexp',
      'blk.3.ffn_gate_inp',
      'enc.blk.0.attn_q',
      'enc.blk.0.attn_k',
      'dec.blk.0.attn_q',
      'dec.blk.0.cross_attn_q',
      'dec.blk.0.cross_attn_k',
    ].map((name) => tensorOf(`${name}.weight`, 'BF16', 256, 256));
    const found = couplingGroups(names, ['qkv', 'gate-up']).map((group) =>
      group.tensors.map((name) => name.replace('.weight', '')),
    );
    expect(found).toEqual([
      ['blk.3.ffn_gate_exps', 'blk.3.ffn_up_exps'],
      ['blk.3.ffn_gate_shexp', 'blk.3.ffn_up_shexp'],
      ['enc.blk.0.attn_q', 'enc.blk.0.attn_k'],
      ['dec.blk.0.cross_attn_q', 'dec.blk.0.cross_attn_k'],
    ]);
  });

  it('leaves matrices alone that are fused already, biases, and rows of other lengths', () => {
    const odd = [
      tensorOf('blk.0.attn_qkv.weight', 'BF16', 256, 256),
      tensorOf('blk.0.ffn_gate_up_exps.weight', 'BF16', 256, 256),
      tensorOf('blk.0.attn_q.bias', 'F32', 256),
      tensorOf('blk.0.attn_k.bias', 'F32', 256),
      tensorOf('blk.1.attn_q.weight', 'BF16', 256, 256),
      tensorOf('blk.1.attn_k.weight', 'BF16', 512, 256),
    ];
    expect(couplingGroups(odd, ['qkv', 'gate-up'])).toEqual([]);
  });

  it('is asked for by name', () => {
    expect(parseCouplings([])).toEqual([]);
    expect(parseCouplings(['none'])).toEqual([]);
    expect(parseCouplings(['fused'])).toEqual(['qkv', 'gate-up']);
    expect(parseCouplings(['Gate-Up'])).toEqual(['gate-up']);
    expect(() => parseCouplings(['qk'])).toThrowError(
      expect.objectContaining({
        code: 'COUPLING_UNKNOWN',
        message: "expected qkv, gate-up, fused or none to couple, found 'qk'",
      }),
    );
  });
});

describe('coupled plans', () => {
  it('give each group one scheme, the best there is for the group', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.integer({ min: 1, max: 500 }),
        (share, seed) => {
          const made = coupledPlan(share, [], [], seed);
          for (const group of groups) {
            const found = made.tensors.filter(({ tensor }) => group.tensors.includes(tensor));
            expect(new Set(found.map(({ scheme }) => scheme)).size).toBe(1);
          }
          expect(made.predicted.bytes).toBeLessThanOrEqual(made.budget.bytes);
          expect(made.predicted.gap).toBeLessThan(1e-3);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('cost no less than plans that are free', () => {
    const choices = priceOptions(options(), measurementsOf(tensors));
    for (const share of [0.1, 0.2, 0.4]) {
      const { predicted, budget } = coupledPlan(share);
      const free = solve(choices, budget.bytes);
      expect(predicted.klNats).toBeGreaterThanOrEqual(free.klNats * (1 - 1e-12));
    }
  });

  it('take what is locked for one member for all, and say so', () => {
    const made = coupledPlan(0.3, [String.raw`blk\.1\.attn_k=Q5_K`]);
    expect(schemeOf(made, 'blk.1.attn_q.weight')).toMatchObject({
      scheme: 'Q5_K',
      decidedBy: {
        kind: 'coupling',
        note: String.raw`one scheme with blk.1.attn_k.weight, blk.1.attn_v.weight, locked by 'blk\.1\.attn_k=Q5_K'`,
      },
      up: null,
      down: null,
    });
    expect(schemeOf(made, 'blk.1.attn_k.weight')?.decidedBy.kind).toBe('lock');
  });

  it('step together', () => {
    const made = coupledPlan(0.3);
    const [gate, up] = ['gate', 'up'].map((part) => schemeOf(made, `blk.0.ffn_${part}.weight`));
    expect(gate?.up?.scheme).toBe(up?.up?.scheme);
    expect(gate?.down?.scheme).toBe(up?.down?.scheme);
    expect(gate?.reason).toMatch(/^one scheme with blk\.0\.ffn_up\.weight; up: .* more; down: .* less$/);
  });

  it('refuse locks that contradict each other inside a group, naming both', () => {
    expect(() => options(['blk.0.attn_q=Q4_K', 'blk.0.attn_v=Q6_K'])).toThrowError(
      expect.objectContaining({
        kind: 'plan',
        code: 'COUPLED_LOCKS_CONFLICT',
        message:
          "locks 'blk.0.attn_q=Q4_K' (blk.0.attn_q.weight in Q4_K) and 'blk.0.attn_v=Q6_K' (blk.0.attn_v.weight in Q6_K) contradict each other: these tensors must share a scheme",
      }),
    );
    expect(options(['blk.0.attn_q=Q4_K', 'blk.0.attn_v=Q4_K'])).toHaveLength(tensors.length);
  });

  it('refuse members without a scheme in common', () => {
    expect(() => options(['blk.0.attn_q=Q2_K'], ['attention-k=4bit'])).toThrowError(
      expect.objectContaining({ code: 'COUPLING_IMPOSSIBLE', found: expect.stringContaining('Q2_K') }),
    );
  });

  it('hold a plan file to its groups', () => {
    const schemes = new Map(tensors.map(({ name, type }) => [name, type]));
    schemes.set('blk.0.attn_q.weight', 'Q4_K');
    const lines = new Map(tensors.map(({ name }, index) => [name, index + 10]));
    const file = { budget: { request: 'size', bytes: 1 }, schemes, lines };
    expect(() => planFromFile({ source, file, tensors, headerBytes: 0, groups })).toThrowError(
      expect.objectContaining({
        code: 'PLAN_COUPLING',
        message:
          'plan file, lines 12 and 13: blk.0.attn_q.weight in Q4_K and blk.0.attn_k.weight in BF16 must share a scheme',
      }),
    );
  });

  it('never leave out a candidate that the best coupled plan needs', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e6 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (seed, share) => {
          const full = priceOptions(options(), measurementsOf(tensors, seed));
          const late = new Set(['IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ1_S', 'IQ1_M']);
          const without = ({ candidates, ...rest }: Choice): Choice => ({
            ...rest,
            candidates: candidates.filter(({ scheme }) => !late.has(scheme)),
          });
          const open = full.flatMap(({ tensor, candidates }) =>
            candidates
              .filter(({ scheme }) => late.has(scheme))
              .map(({ scheme, bytes, klNats }) => ({ tensor, scheme, bytes, leastNats: klNats * 0.8 })),
          );
          const { smallestBytes, largestBytes } = dataRange(options());
          const capacity = Math.floor(smallestBytes + share * (largestBytes - smallestBytes));
          const best = (choices: readonly Choice[]) => solve(mergeCoupled(choices, groups), capacity).klNats;
          const worth = worthMeasuring(full.map(without), open, capacity, groups);
          const partial = full.map((choice) => (worth.has(choice.tensor) ? choice : without(choice)));
          expect(best(partial)).toBeLessThanOrEqual(best(full) * (1 + 1e-9));
        },
      ),
      { numRuns: 60 },
    );
  });
});

describe('mergeCoupled', () => {
  it('sums what members have in common and gives every tensor its own index back', () => {
    const choice = (tensor: string, ...schemes: string[]): Choice => ({
      tensor,
      constraint: null,
      candidates: schemes.map((scheme, index) => ({
        scheme,
        bytes: 32 * (index + 1),
        klNats: 1 / (index + 1),
      })),
    });
    const choices = [choice('a', 'x', 'y', 'z'), choice('b', 'y'), choice('c', 'z', 'y')];
    const merged = mergeCoupled(choices, [{ kind: 'qkv', tensors: ['a', 'c'] }]);
    expect(merged).toEqual([
      {
        members: [0, 2],
        candidates: [
          { scheme: 'y', bytes: 64 + 64, klNats: 1 / 2 + 1 / 2 },
          { scheme: 'z', bytes: 96 + 32, klNats: 1 / 3 + 1 },
        ],
      },
      { members: [1], candidates: choices[1].candidates },
    ]);
    expect(expandPicked(choices, merged, [1, 0])).toEqual([2, 0, 0]);
    expect(() =>
      mergeCoupled([choice('a', 'x'), choice('b', 'y')], [{ kind: 'qkv', tensors: ['a', 'b'] }]),
    ).toThrowError(expect.objectContaining({ code: 'COUPLING_IMPOSSIBLE' }));
  });
});
