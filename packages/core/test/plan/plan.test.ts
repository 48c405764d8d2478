import { layoutGguf } from '@bitsmith/formats';
import type { TensorType } from '@bitsmith/formats';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyLocks, parseLock } from '../../src/plan/locks.js';
import { dataRange, storageOptions } from '../../src/plan/options.js';
import { makePlan, planHash } from '../../src/plan/plan.js';
import { schemes } from '../../src/plan/schemes.js';
import { choicesOf, smallLlama } from './models.js';

const tensors = smallLlama(3);
const source = { name: 'small', sha256: 'ab'.repeat(32) };
const headerBytes = layoutGguf({ metadata: new Map(), tensors }).header.byteLength;
const range = dataRange(storageOptions(tensors));

function plan(share: number, locks: string[] = [], seed = 1) {
  const applied = applyLocks(locks.map(parseLock), tensors);
  const { smallestBytes, largestBytes } = dataRange(storageOptions(tensors, applied));
  const bytes = headerBytes + Math.floor(smallestBytes + share * (largestBytes - smallestBytes));
  return makePlan({
    source,
    choices: choicesOf(tensors, applied, seed),
    budget: { request: `size ${bytes}`, bytes },
    headerBytes,
  });
}

const shares = fc.double({ min: 0, max: 1.2, noNaN: true });
const seeds = fc.integer({ min: 1, max: 1000 });

describe('makePlan', () => {
  it('predicts the bytes that the writer lays out, within the budget', () => {
    fc.assert(
      fc.property(shares, seeds, (share, seed) => {
        const made = plan(share, [], seed);
        const types = new Map(made.tensors.map(({ tensor, scheme }) => [tensor, scheme as TensorType]));
        const layout = layoutGguf({
          metadata: new Map(),
          tensors: tensors.map(({ name, shape }) => ({ name, shape, type: types.get(name) as TensorType })),
        });
        expect(made.predicted.bytes).toBe(layout.byteLength);
        expect(made.predicted.bytes).toBeLessThanOrEqual(made.budget.bytes);
      }),
      { numRuns: 100 },
    );
  });

  it('keeps every tensor in its place and its bound below its loss', () => {
    const made = plan(0.2);
    expect(made.tensors.map(({ tensor }) => tensor)).toEqual(tensors.map(({ name }) => name));
    const sum = made.tensors.reduce((total, { klNats }) => total + (klNats as number), 0);
    expect(made.predicted).toMatchObject({ klNats: sum, evidence: 'estimated' });
    expect(made.predicted.klLowerBound).toBeLessThanOrEqual(sum);
  });

  it('never predicts less loss for fewer bytes', () => {
    fc.assert(
      fc.property(shares, shares, seeds, (a, b, seed) => {
        const small = plan(Math.min(a, b), [], seed).predicted.klNats as number;
        const large = plan(Math.max(a, b), [], seed).predicted.klNats as number;
        expect(large).toBeLessThanOrEqual(small * (1 + 1e-9));
      }),
      { numRuns: 100 },
    );
  });

  it('lets locks win, whatever the budget and the prices', () => {
    const quantized = schemes.filter(({ family }) => family === 'ggml').map(({ id }) => id);
    fc.assert(
      fc.property(
        shares,
        seeds,
        fc.constantFrom(...quantized),
        fc.constantFrom(...quantized),
        (share, seed, v, head) => {
          const made = plan(share, [`attn_v=${v}`, `^output\\.weight$=${head}`], seed);
          for (const { tensor, scheme, decidedBy } of made.tensors) {
            if (tensor.includes('attn_v')) {
              expect([scheme, decidedBy]).toEqual([v, { kind: 'lock', note: `locked by 'attn_v=${v}'` }]);
            }
            if (tensor === 'output.weight') expect(scheme).toBe(head);
          }
        },
      ),
      { numRuns: 100 },
    );
  });

  it('is the same for the same input', () => {
    expect(JSON.stringify(plan(0.3))).toBe(JSON.stringify(plan(0.3)));
  });

  it('keeps everything when everything fits', () => {
    const made = plan(1.1);
    expect(made.tensors.map(({ scheme }) => scheme)).toEqual(tensors.map(({ type }) => type));
    expect(made.predicted).toMatchObject({
      bytes: headerBytes + range.largestBytes,
      klNats: 0,
      klLowerBound: 0,
      gap: 0,
    });
  });

  it('says what decided, in words', () => {
    const made = plan(0.2, ['attn_k=Q8_0']);
    const reason = (name: string) => made.tensors.find(({ tensor }) => tensor === name)?.reason;
    expect(reason('blk.0.attn_norm.weight')).toBe('kept as stored: a vector');
    expect(reason('blk.1.attn_k.weight')).toMatch(
      /^locked by 'attn_k=Q8_0'; up: BF16 saves [\d.]+ nats for 30,720 bytes more; down: Q6_K loses [\d.]+ nats for 7,936 bytes less$/,
    );
    expect(reason('blk.0.ffn_up.weight')).toMatch(
      /^by price; up: [A-Z0-9_]+ saves 0\.0*[1-9]\d? nats for [\d,]+ bytes more; down: [A-Z0-9_]+ loses 0\.0*[1-9]\d? nats for [\d,]+ bytes less$/,
    );
    expect(plan(1.1).tensors[0].reason).toMatch(/^by price; up: nothing would lose less; down: /);
    expect(plan(0).tensors[0].reason).toMatch(/; down: nothing smaller$/);
  });

  it('names steps along the frontier: what a step changes is what the plan would change by', () => {
    const made = plan(0.3);
    const byName = new Map(choicesOf(tensors).map((choice) => [choice.tensor, choice.candidates]));
    for (const { tensor, bytes, klNats, up, down } of made.tensors) {
      if (tensor.endsWith('norm.weight')) expect([up, down]).toEqual([null, null]);
      const candidates = byName.get(tensor) ?? [];
      for (const step of [up, down]) {
        if (step === null) continue;
        const target = candidates.find(({ scheme }) => scheme === step.scheme);
        expect(step.bytes).toBe((target?.bytes ?? 0) - bytes);
        expect(step.klNats).toBe((target?.klNats ?? 0) - (klNats as number));
      }
      const better = candidates.filter((other) => other.bytes > bytes && other.klNats < (klNats as number));
      expect(up === null).toBe(better.length === 0);
      for (const other of better) expect(other.bytes - bytes).toBeGreaterThanOrEqual(up?.bytes ?? Infinity);
      const smaller = candidates.filter((other) => other.bytes < bytes);
      expect(down === null).toBe(smaller.length === 0);
      for (const other of smaller)
        expect(other.klNats - (klNats as number)).toBeGreaterThanOrEqual(down?.klNats ?? Infinity);
    }
  });

  it('refuses a budget below the smallest plan', () => {
    const budget = { request: 'size 1KB', bytes: 1000 };
    expect(() => makePlan({ source, choices: choicesOf(tensors), budget, headerBytes })).toThrowError(
      expect.objectContaining({ code: 'BUDGET_IMPOSSIBLE' }),
    );
  });
});

describe('planHash', () => {
  const lines = [
    { tensor: 'b', scheme: 'Q4_K' },
    { tensor: 'a', scheme: 'Q6_K' },
  ];

  it('is the SHA-256 of the canonical plan', () => {
    // printf '{"source":"00","tensors":[["a","Q6_K"],["b","Q4_K"]]}' | sha256sum
    expect(planHash('00', lines)).toBe('e34d9ee7dff5ab4cd52628710cf7889a11a0c9eecc045a7213631f7b48f5ce0d');
    expect(planHash('00', lines.toReversed())).toBe(planHash('00', lines));
  });

  it('changes with the weights and with any scheme', () => {
    const hashes = [
      planHash('00', lines),
      planHash('01', lines),
      planHash('00', [lines[0], { tensor: 'a', scheme: 'Q5_K' }]),
      planHash('00', [lines[0]]),
    ];
    expect(new Set(hashes).size).toBe(4);
  });
});
