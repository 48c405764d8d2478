import { describe, expect, it } from 'vitest';
import { protectable, parseProtection, withProtected } from '../../src/plan/protection.js';
import type { Choice, PlannedTensor } from '../../src/plan/types.js';
import { judged } from '../../src/refine/protect.js';

const candidates = [
  { scheme: 'Q2_K', bytes: 100, klNats: 0.02 },
  { scheme: 'Q4_K', bytes: 180, klNats: 0.004 },
  { scheme: 'Q8_0', bytes: 340, klNats: 0.0001 },
  { scheme: 'BF16', bytes: 640, klNats: 0 },
];
const choice = (tensor: string, more: Partial<Choice> = {}): Choice => ({
  tensor,
  candidates,
  constraint: null,
  ...more,
});
const line = (tensor: string, scheme: string): PlannedTensor => {
  const { bytes, klNats } = candidates.find((each) => each.scheme === scheme)!;
  return {
    tensor,
    scheme,
    bytes,
    klNats,
    decidedBy: { kind: 'price', note: '' },
    up: null,
    down: null,
    reason: '',
  };
};

describe('what may be protected', () => {
  const names = ['spiked', 'dense', 'thin', 'high', 'locked', 'plain'];
  const locked = { constraint: { kind: 'lock', note: 'locked=Q2_K' }, candidates: [candidates[0]] } as const;
  const choices = names.map((name) => choice(name, name === 'locked' ? locked : {}));
  const plan = names.map((name) => line(name, name === 'high' ? 'Q8_0' : 'Q2_K'));
  const held = new Map([
    ['spiked', { spikes: 1, important: 2 }],
    ['dense', { spikes: 0, important: 9 }],
    ['thin', { spikes: 0, important: 9 }],
    ['high', { spikes: 1, important: 50 }],
    ['locked', { spikes: 1, important: 50 }],
  ]);
  const elements = new Map(names.map((name) => [name, name === 'thin' ? 10_000 : 1000]));

  it('is what holds super weights first, then the densest in important weights; locks win', () => {
    const found = protectable(choices, plan, 8, held, elements);
    expect(found.map(({ tensor }) => tensor)).toEqual(['spiked', 'dense', 'thin']);
    expect(found[0]).toEqual({
      tensor: 'spiked',
      spikes: 1,
      important: 2,
      scheme: 'Q2_K',
      protectedScheme: 'Q8_0',
      bytes: 240,
      pricedNats: 0.0199,
    });
    const sixteen = protectable(choices, plan, 16, held, elements);
    expect(sixteen.map(({ tensor, protectedScheme }) => `${tensor} ${protectedScheme}`)).toEqual([
      'high BF16',
      'spiked BF16',
      'dense BF16',
      'thin BF16',
    ]);
  });

  it('is tried a step up, too, where that takes fewer bytes', () => {
    const up = { scheme: 'Q4_K', bytes: 80, klNats: -0.016 };
    const stepped = plan.map((each) => ({ ...each, up }));
    const ways = protectable(choices, stepped, 8, held, elements).filter(({ tensor }) => tensor === 'spiked');
    expect(ways.map(({ protectedScheme, bytes }) => [protectedScheme, bytes])).toEqual([
      ['Q8_0', 240],
      ['Q4_K', 80],
    ]);
    expect(withProtected(choices, [ways[1]])[0].candidates.map(({ scheme }) => scheme)).toEqual([
      'Q4_K',
      'Q8_0',
      'BF16',
    ]);
  });

  it('keeps nothing below, and says why', () => {
    const [spiked] = protectable(choices, plan, 8, held, elements);
    const narrowed = withProtected(choices, [spiked]);
    expect(narrowed[0].candidates.map(({ scheme }) => scheme)).toEqual(['Q8_0', 'BF16']);
    expect(narrowed[0].limits).toEqual([
      {
        kind: 'floor',
        note: 'protected, nothing below Q8_0: it holds 1 super weight and 2 of the most important weights',
      },
    ]);
    expect(narrowed.slice(1)).toEqual(choices.slice(1));
  });

  it('pays where it saves more than its bytes buy, by more than noise', () => {
    const [spiked] = protectable(choices, plan, 8, held, elements);
    const base = { sequenceKlNats: [0.05, 0.09, 0.07] };
    const lifted = { sequenceKlNats: [0.04, 0.081, 0.059] };
    const cheap = judged(spiked, base, lifted, 1e-5);
    expect(cheap.savedNats.value).toBeCloseTo(0.01, 9);
    expect(cheap.priceNats).toBeCloseTo(0.0024, 9);
    expect(cheap.pays).toBe(true);
    // 0.010 +- 0.0006, and twice its error.
    expect(judged(spiked, base, lifted, 0.0086 / 240).pays).toBe(true);
    expect(judged(spiked, base, lifted, 0.0094 / 240).pays).toBe(false);
    expect(judged(spiked, lifted, base, 0).pays).toBe(false);
  });
});

describe('protection as asked for', () => {
  it('is none unless asked for, and 8 bits unless told', () => {
    expect(parseProtection({})).toBeNull();
    expect(parseProtection({ protectSuperWeights: true })).toEqual({ bits: 8 });
    expect(parseProtection({ protectSuperWeights: true, protectBits: 16 })).toEqual({ bits: 16 });
  });

  it.each([
    [{ protectSuperWeights: true, protectBits: 12 }, 'PROTECT_BITS_INVALID'],
    [{ protectBits: 8 }, 'PROTECTION_MISSING'],
    [{ coverage: 0.001 }, 'PROTECTION_MISSING'],
  ])('%j is %s', (options, code) => {
    expect(() => parseProtection(options)).toThrowError(expect.objectContaining({ code, kind: 'arguments' }));
  });
});
