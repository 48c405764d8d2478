import { describe, expect, it } from 'vitest';
import { applyFloors, parseFloor } from '../../src/plan/floors.js';
import { applyLocks, parseLock } from '../../src/plan/locks.js';
import { dataRange, storageOptions } from '../../src/plan/options.js';
import { makePlan } from '../../src/plan/plan.js';
import { priceOptions } from '../../src/plan/price.js';
import { findScheme } from '../../src/plan/schemes.js';
import { measurementsOf, smallLlama, tensorOf } from './models.js';

const tensors = smallLlama(2);

function floored(floors: string[], locks: string[] = []) {
  return applyFloors(
    storageOptions(tensors, applyLocks(locks.map(parseLock), tensors)),
    floors.map(parseFloor),
  );
}

const of = (options: ReturnType<typeof floored>, name: string) =>
  options.find(({ tensor }) => tensor.name === name);
const bitsOf = (scheme: string) => findScheme(scheme)?.bits ?? 0;
const refused = (code: string, message: RegExp, more: object = {}) =>
  expect.objectContaining({ kind: 'plan', code, message: expect.stringMatching(message), ...more });

describe('floors', () => {
  it('take away what is below, for the role alone', () => {
    const options = floored(['attention-v=4bit']);
    const v = of(options, 'blk.1.attn_v.weight');
    expect(v?.options.every(({ scheme }) => bitsOf(scheme) >= 4)).toBe(true);
    expect(v?.options.map(({ scheme }) => scheme)).toContain('IQ4_XS');
    expect(v?.limits).toEqual([{ kind: 'floor', note: 'floor attention-v=4bit' }]);
    expect(of(options, 'blk.1.attn_k.weight')).not.toHaveProperty('limits');
  });

  it('count stored bits where a scheme is named', () => {
    const schemes = of(floored(['attention-v=q4_k']), 'blk.0.attn_v.weight')?.options ?? [];
    expect(schemes[0].scheme).toBe('IQ4_NL');
    expect(schemes.map(({ scheme }) => scheme)).not.toContain('IQ4_XS');
  });

  it('hold for all roles of a beginning, and all together', () => {
    const options = floored(['attention=3bit', 'attention-v=6bit']);
    for (const [name, least] of Object.entries({ q: 3, k: 3, output: 3, v: 6 })) {
      const found = of(options, `blk.0.attn_${name}.weight`)?.options ?? [];
      expect(Math.min(...found.map(({ scheme }) => bitsOf(scheme)))).toBe(least);
    }
    expect(of(options, 'blk.0.attn_v.weight')?.limits).toHaveLength(2);
  });

  it('give way to locks', () => {
    const options = floored(['attention-v=4bit'], ['attn_v=Q2_K']);
    expect(of(options, 'blk.0.attn_v.weight')?.options.map(({ scheme }) => scheme)).toEqual(['Q2_K']);
  });

  it('leave what the source stores below them', () => {
    const low = storageOptions([tensorOf('blk.0.attn_v.weight', 'Q4_K', 256, 256)]);
    const [v] = applyFloors(low, [parseFloor('attention-v=Q8_0')]);
    expect(v.options.map(({ scheme }) => scheme)).toEqual(['Q4_K']);
  });

  it('stand in the plan where they decide', () => {
    const options = floored(['attention-v=5bit']);
    const bytes = dataRange(options).smallestBytes + 5000;
    const made = makePlan({
      source: { name: 'small', sha256: 'ab'.repeat(32) },
      choices: priceOptions(options, measurementsOf(tensors)),
      budget: { request: 'size', bytes },
      headerBytes: 0,
    });
    const decided = made.tensors.filter(({ decidedBy }) => decidedBy.kind === 'floor');
    expect(decided.length).toBeGreaterThan(0);
    for (const { tensor, down, reason } of decided) {
      expect(tensor).toMatch(/attn_v/);
      expect(down).toBeNull();
      expect(reason).toMatch(/^floor attention-v=5bit; up: .* more; down: not below the floor$/);
    }
  });

  it.each(['attention-v', 'attention-v=', '=4bit', '', 'a=b=c'])('refuse %j', (text) => {
    expect(() => parseFloor(text)).toThrowError(
      refused('FLOOR_MALFORMED', /expected ROLE=SCHEME or ROLE=Nbit/),
    );
  });

  it('name the roles and schemes there are', () => {
    expect(() => parseFloor('atention-v=4bit')).toThrowError(
      refused('FLOOR_ROLE_UNKNOWN', /^floor 'atention-v=4bit': expected a role, found 'atention-v'$/, {
        suggestion: expect.stringMatching(/^Did you mean attention-v/),
      }),
    );
    expect(() => parseFloor('mlp=Q4K')).toThrowError(refused('SCHEME_UNKNOWN', /^floor 'mlp=Q4K'/));
  });

  it('must match something that is quantized', () => {
    expect(() => floored(['expert=4bit'])).toThrowError(
      refused('FLOOR_MATCHES_NOTHING', /^floor 'expert=4bit' matches no tensor that is quantized$/, {
        expected: expect.stringContaining('attention-q'),
      }),
    );
    expect(() => floored(['norm=4bit'])).toThrowError(refused('FLOOR_MATCHES_NOTHING', /norm=4bit/));
  });
});
