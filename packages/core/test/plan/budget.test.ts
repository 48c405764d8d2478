import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseBudget, parseSize, refuseNoBudget, resolveBudget } from '../../src/plan/budget.js';
import type { BudgetFacts } from '../../src/plan/budget.js';

const facts: BudgetFacts = {
  sourceBytes: 17_000_000,
  parameterCount: 8_000_000,
  headerBytes: 100_000,
  data: { smallestBytes: 1_700_000, largestBytes: 16_800_000 },
};

const resolve = (options: Parameters<typeof parseBudget>[0]) => resolveBudget(parseBudget(options), facts);

describe('parseSize', () => {
  it.each([
    ['1200000', 1_200_000],
    [1_200_000, 1_200_000],
    ['1.2GB', 1_200_000_000],
    ['1.2 gb', 1_200_000_000],
    ['512B', 512],
    ['512 bytes', 512],
    ['10KB', 10_000],
    ['10KiB', 10_240],
    ['.5MB', 500_000],
    ['1.5MiB', 1_572_864],
    ['2GiB', 2_147_483_648],
    ['1TB', 1e12],
    ['1TiB', 2 ** 40],
  ])('%s is %i bytes', (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
  });

  it.each([
    '',
    'GB',
    '1.2',
    '0',
    '-1GB',
    '-5',
    '1G',
    '1 GBit',
    '1e9',
    'NaN',
    '1.2.3MB',
    '9e99TB',
    '9007199254740993',
    '0.2 bytes',
  ])('refuses %j', (text) => {
    expect(() => parseSize(text)).toThrowError(
      expect.objectContaining({
        kind: 'arguments',
        code: 'BUDGET_MALFORMED',
        message: expect.stringContaining(
          'KB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (powers of 1024)',
        ),
      }),
    );
  });
});

describe('parseBudget', () => {
  it.each([
    [{ bpw: '0' }, '--bpw 0'],
    [{ bpw: -3 }, '--bpw -3'],
    [{ bpw: '3,5' }, '--bpw 3,5'],
    [{ bpw: 65 }, '--bpw 65'],
    [{ bpw: Number.NaN }, '--bpw NaN'],
    [{ ratio: '0.5' }, '--ratio 0.5'],
    [{ ratio: '5x' }, '--ratio 5x'],
    [{ ratio: Infinity }, '--ratio Infinity'],
  ])('refuses %o', (options, start) => {
    expect(() => parseBudget(options)).toThrowError(
      expect.objectContaining({
        kind: 'arguments',
        code: 'BUDGET_MALFORMED',
        message: expect.stringMatching(new RegExp(`^${start.replace('.', '\\.')}: expected a number`)),
      }),
    );
  });

  it('wants at least one wish', () => {
    expect(parseBudget({})).toEqual([]);
    expect(() => refuseNoBudget(0)).toThrowError(expect.objectContaining({ code: 'BUDGET_MISSING' }));
    expect(() => refuseNoBudget(1)).not.toThrow();
  });

  it('reads memory with the context that it is for', () => {
    expect(parseBudget({ memory: '8GB', context: 8192 })).toEqual([
      {
        kind: 'memory',
        bytes: 8e9,
        contextTokens: 8192,
        keyValueType: 'F16',
        text: 'memory 8GB with 8,192 tokens of context in F16',
      },
    ]);
    expect(parseBudget({ memory: 1e9, context: '512', keyValueType: 'q8_0' })).toMatchObject([
      { contextTokens: 512, keyValueType: 'Q8_0' },
    ]);
  });

  it.each([
    [{ memory: '8 GBit', context: 8192 }, '--memory 8 GBit: expected'],
    [{ memory: '0', context: 8192 }, '--memory 0: expected'],
    [{ memory: '-1GB', context: 8192 }, '--memory -1GB: expected'],
    [{ memory: '8GB' }, '--memory 8GB: expected --context beside it'],
    [{ memory: '8GB', context: 0 }, '--context 0: expected whole tokens'],
    [{ memory: '8GB', context: 1.5 }, '--context 1.5: expected whole tokens'],
    [{ memory: '8GB', context: '8k' }, '--context 8k: expected whole tokens'],
    [{ memory: '8GB', context: 2 ** 24 + 1 }, '--context 16777217: expected whole tokens'],
    [{ memory: '8GB', context: 512, keyValueType: 'Q4_K' }, '--kv-type Q4_K: expected one of F32, F16'],
    [{ context: 512 }, '--context 512: expected --memory beside it'],
    [{ keyValueType: 'Q8_0' }, '--kv-type Q8_0: expected --memory beside it'],
  ])('refuses memory like %o', (options, start) => {
    expect(() => parseBudget(options)).toThrowError(
      expect.objectContaining({
        kind: 'arguments',
        code: 'BUDGET_MALFORMED',
        message: expect.stringMatching(new RegExp(`^${start.replace('.', '\\.')}`)),
      }),
    );
  });
});

describe('resolveBudget', () => {
  it('turns each kind into bytes of the file', () => {
    expect(resolve({ size: '5MB' })).toEqual({
      request: 'size 5MB',
      bytes: 5_000_000,
      dataBytes: 4_900_000,
      keepsEverything: false,
    });
    expect(resolve({ bpw: 3.5 })).toMatchObject({
      bytes: 3_600_000,
      dataBytes: 3_500_000,
      request: '3.5 bits per weight',
    });
    expect(resolve({ ratio: 5 })).toMatchObject({ bytes: 3_400_000, request: 'ratio 5' });
  });

  it('takes the tightest of several', () => {
    expect(resolve({ size: '5MB', bpw: 3.5, ratio: 4 })).toMatchObject({
      request: 'size 5MB and 3.5 bits per weight and ratio 4',
      bytes: 3_600_000,
    });
  });

  const contextMemory = {
    contextTokens: 512,
    keyValueType: 'F16',
    cacheBytes: 300_000,
    computeBytes: 90_000,
    outputBytes: 10_000,
    totalBytes: 400_000,
  } as const;
  const inMemory = (memory: number, size?: number) =>
    resolveBudget(parseBudget({ memory, context: 512, size }), { ...facts, contextMemory });

  it('leaves the weights what the context does not take of memory', () => {
    const budget = inMemory(5_000_000);
    expect(budget.dataBytes).toBe(4_600_000);
    expect(budget.bytes).toBe(4_700_000);
    expect(inMemory(5_000_000, 4_000_000).bytes).toBe(4_000_000);
    expect(inMemory(2_100_000).dataBytes).toBe(facts.data.smallestBytes);
  });

  it('refuses memory that context and smallest weights do not fit in', () => {
    expect(() => inMemory(2_099_999)).toThrowError(
      expect.objectContaining({
        kind: 'budget-impossible',
        code: 'BUDGET_IMPOSSIBLE',
        message:
          'memory 2099999 with 512 tokens of context in F16 is 2,099,999 bytes (2.10 MB), but 400,000 bytes (400 KB) for the context (300,000 bytes (300 KB) of keys and values, 90,000 bytes (90.0 KB) to compute in) and 1,700,000 bytes (1.70 MB) for the smallest weights are needed',
        suggestion:
          'Ask for at least --memory 2100000, a shorter --context, or a smaller --kv-type such as Q8_0.',
      }),
    );
  });

  it('says when everything may stay as it is', () => {
    expect(resolve({ size: 16_900_000 }).keepsEverything).toBe(true);
    expect(resolve({ size: 16_899_999 }).keepsEverything).toBe(false);
    expect(resolve({ size: '1TB' }).keepsEverything).toBe(true);
    expect(resolve({ ratio: 1 }).keepsEverything).toBe(true);
  });

  it('refuses the impossible, naming the smallest and the largest', () => {
    expect(resolve({ size: 1_800_000 }).bytes).toBe(1_800_000);
    expect(() => resolve({ size: 1_799_999 })).toThrowError(
      expect.objectContaining({
        kind: 'budget-impossible',
        code: 'BUDGET_IMPOSSIBLE',
        message:
          'size 1799999 allows a file of 1,799,999 bytes (1.80 MB), but the smallest possible is 1,800,000 bytes (1.80 MB)',
        expected: '1,800,000 bytes (1.80 MB) to 16,900,000 bytes (16.9 MB)',
        suggestion:
          'Ask for at least --size 1800000 (1.70 bits per weight); as stored, the model takes 16,900,000 bytes (16.9 MB).',
      }),
    );
    expect(() => resolve({ bpw: 0.5 })).toThrowError(expect.objectContaining({ code: 'BUDGET_IMPOSSIBLE' }));
    expect(() => resolve({ ratio: 1000 })).toThrowError(
      expect.objectContaining({ code: 'BUDGET_IMPOSSIBLE' }),
    );
  });

  it('never passes any of the wishes', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 2, max: 20, noNaN: true }).map((value) => Number(value.toFixed(4))),
        fc.integer({ min: 1_800_000, max: 30_000_000 }),
        (bpw, size) => {
          const { bytes, dataBytes } = resolve({ bpw, size });
          expect(bytes).toBeLessThanOrEqual(size);
          expect((dataBytes * 8) / facts.parameterCount).toBeLessThanOrEqual(bpw);
        },
      ),
    );
  });
});
