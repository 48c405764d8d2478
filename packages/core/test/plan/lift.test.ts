import { describe, expect, it } from 'vitest';
import { couplingGroups } from '../../src/plan/coupling.js';
import { type LiftInput, liftPlan, type WrittenMiss } from '../../src/plan/lift.js';
import { applyLocks, parseLock } from '../../src/plan/locks.js';
import { storageOptions } from '../../src/plan/options.js';
import { planFromFile } from '../../src/plan/plan-from-file.js';
import { quantizable } from '../../src/plan/quantizable.js';
import { findScheme } from '../../src/plan/schemes.js';
import { smallLlama } from './models.js';

const tensors = smallLlama(1);
const source = { name: 'small', sha256: 'a'.repeat(64) };
const HEADER = 1000;
const K = 'blk.0.attn_k.weight';
const V = 'blk.0.attn_v.weight';

/** All of the model in one scheme, and `spare` bytes left. */
function planIn(
  scheme: string,
  more: Partial<LiftInput> & { lock?: string; spare?: number } = {},
): LiftInput {
  const { lock, spare = 1e9, ...rest } = more;
  const locks = applyLocks(lock === undefined ? [] : [parseLock(lock)], tensors);
  const schemes = new Map(tensors.map((each) => [each.name, quantizable(each).allowed ? scheme : each.type]));
  const file = { schemes, lines: new Map(), budget: { request: 'a size', bytes: 0 } } as never;
  const plan = planFromFile({ source, file, tensors, headerBytes: HEADER, locks });
  const bytes = plan.predicted.bytes + spare;
  return {
    plan: { ...plan, budget: { request: 'a size', bytes } },
    storage: storageOptions(tensors, locks),
    groups: [],
    choices: [],
    limit: 0.2,
    limitBytes: bytes,
    ...rest,
  };
}

const miss = (tensor: string, relativeError = 0.3): WrittenMiss => ({ tensor, relativeError });

describe('a tensor beyond its limit', () => {
  it('is lifted from 1 to 2, 4, 8 and 16 bits, step by step, and no other is', () => {
    let input = planIn('IQ1_S');
    const path: string[] = [];
    for (let step = 0; step < 4; step++) {
      const { plan, lifts } = liftPlan(input, [miss(K)]);
      expect(lifts).toHaveLength(1);
      path.push(lifts[0].to);
      expect(plan.predicted.bytes).toBe(input.plan.predicted.bytes + lifts[0].bytes);
      const changed = plan.tensors.filter(({ scheme }, index) => scheme !== input.plan.tensors[index].scheme);
      expect(changed.map(({ tensor }) => tensor)).toEqual([K]);
      expect(changed[0].decidedBy).toEqual({
        kind: 'fallback',
        note: `lifted from ${lifts[0].from}: its written error was 0.300 of at most 0.2`,
      });
      expect(plan.hash).not.toBe(input.plan.hash);
      input = { ...input, plan };
    }
    expect(path).toEqual(['Q2_K', 'Q4_K', 'Q8_0', 'BF16']);
  });

  it('takes the smallest that is allowed where the usual one is not', () => {
    const among = ['Q3_K', 'Q5_K', 'Q6_K'].map((id) => findScheme(id)!);
    const input = { ...planIn('Q3_K'), storage: storageOptions(tensors, new Map(), undefined, among) };
    expect(liftPlan(input, [miss(K)]).lifts[0].to).toBe('Q5_K');
  });

  it('takes along what shares its scheme', () => {
    const groups = couplingGroups(tensors, ['qkv']);
    const { lifts } = liftPlan({ ...planIn('Q2_K'), groups }, [miss(K), miss(V)]);
    expect(lifts.map(({ tensor, to }) => `${tensor} ${to}`).toSorted()).toEqual([
      'blk.0.attn_k.weight Q4_K',
      'blk.0.attn_q.weight Q4_K',
      'blk.0.attn_v.weight Q4_K',
    ]);
  });

  it('costs what is known, and a given plan grows as it needs', () => {
    const choices = [
      { tensor: K, candidates: [{ scheme: 'Q4_K', bytes: 1, klNats: 0.007 }], constraint: null },
    ];
    const input = planIn('Q2_K', { spare: 0, choices, limitBytes: null });
    const { plan, lifts } = liftPlan(input, [miss(K)]);
    expect(plan.tensors.find(({ tensor }) => tensor === K)?.klNats).toBe(0.007);
    expect(plan.budget.bytes).toBe(input.plan.budget.bytes + lifts[0].bytes);
  });

  it('names itself, its error, the limit and the bytes missing where the budget does not allow it', () => {
    const more = liftPlan(planIn('Q2_K'), [miss(K), miss(V, 0.4)]).lifts.reduce(
      (sum, { bytes }) => sum + bytes,
      0,
    );
    expect(() => liftPlan(planIn('Q2_K', { spare: more }), [miss(K), miss(V, 0.4)])).not.toThrow();
    expect(() => liftPlan(planIn('Q2_K', { spare: more - 64 }), [miss(K), miss(V, 0.4)])).toThrowError(
      expect.objectContaining({
        kind: 'budget-impossible',
        code: 'TENSOR_ERROR_IMPOSSIBLE',
        exitCode: 17,
        message:
          'expected a relative error of at most 0.2 in blk.0.attn_v.weight, found 0.4000 in Q2_K; Q4_K (with 1 more that it is to be lifted together with) takes 64 bytes more than a size leaves',
        expected: '0.2',
        found: '0.4000',
      }),
    );
  });

  it('stays locked, and its lock is named', () => {
    expect(() => liftPlan(planIn('Q2_K', { lock: 'attn_k=Q3_K' }), [miss(K)])).toThrowError(
      expect.objectContaining({
        code: 'TENSOR_ERROR_IMPOSSIBLE',
        message:
          "expected a relative error of at most 0.2 in blk.0.attn_k.weight, found 0.3000 in Q3_K, which is locked by 'attn_k=Q3_K'",
        suggestion: 'Loosen its lock, or the limit.',
      }),
    );
  });
});
