import { describe, expect, it } from 'vitest';
import { storageOptions } from '../../src/plan/options.js';
import { PROBE_FLOOR_NATS, priceOptions } from '../../src/plan/price.js';
import type { TensorMeasurement } from '../../src/plan/price.js';
import { applyLocks, parseLock } from '../../src/plan/locks.js';
import { plannedTensor } from '../../src/plan/reasons.js';
import { measurementsOf, smallLlama, tensorOf } from './models.js';

const tensor = tensorOf('blk.0.attn_q.weight', 'BF16', 256, 256);
const other = tensorOf('blk.1.attn_q.weight', 'BF16', 256, 512);

function measured(
  probe: TensorMeasurement['probe'],
  errors: Record<string, number>,
  of = tensor,
): TensorMeasurement {
  return { tensor: of, errors: new Map(Object.entries(errors)), probe };
}

function pricesOf(...measurements: TensorMeasurement[]): Record<string, number> {
  const [choice] = priceOptions(storageOptions([tensor]), measurements);
  return Object.fromEntries(choice.candidates.map(({ scheme, klNats }) => [scheme, klNats]));
}

describe('priceOptions', () => {
  it('scales errors by the probe, and keeping is free', () => {
    expect(pricesOf(measured({ scheme: 'Q3_K', klNats: 0.002 }, { Q2_K: 8, Q3_K: 2, Q4_K: 0.5 }))).toEqual({
      Q2_K: 0.008,
      Q3_K: 0.002,
      Q4_K: 0.0005,
      BF16: 0,
    });
  });

  it('offers only what was measured, with exact bytes', () => {
    const [choice] = priceOptions(storageOptions([tensor]), [
      measured({ scheme: 'Q4_K', klNats: 1e-3 }, { Q4_K: 1 }),
    ]);
    expect(choice).toEqual({
      tensor: tensor.name,
      candidates: [
        { scheme: 'Q4_K', bytes: (65536 * 4.5) / 8, klNats: 1e-3 },
        { scheme: 'BF16', bytes: 131072, klNats: 0 },
      ],
      constraint: null,
    });
  });

  it('offers nothing that cannot represent the weights', () => {
    expect(
      pricesOf(measured({ scheme: 'Q4_K', klNats: 1e-3 }, { Q4_K: 1, Q8_0: Infinity })),
    ).not.toHaveProperty('Q8_0');
  });

  it('is free where a scheme is exact', () => {
    expect(pricesOf(measured({ scheme: 'Q4_K', klNats: 1e-3 }, { Q4_K: 1, TQ2_0: 0 }))).toMatchObject({
      TQ2_0: 0,
    });
  });

  it('does not take rounding below zero for a gift', () => {
    const prices = pricesOf(measured({ scheme: 'Q3_K', klNats: -1e-8 }, { Q2_K: 4, Q3_K: 1 }));
    expect(prices).toMatchObject({ Q3_K: PROBE_FLOOR_NATS, Q2_K: 4 * PROBE_FLOOR_NATS });
  });

  it('takes the typical loss of the role where the probe moved nothing', () => {
    const known = measured({ scheme: 'Q3_K', klNats: 0.004 }, { Q3_K: 1 }, other);
    const prices = pricesOf(measured({ scheme: 'Q3_K', klNats: 0 }, { Q2_K: 6, Q3_K: 2, Q4_K: 1 }), known);
    expect(prices).toEqual({ Q2_K: 0.006, Q3_K: 0.002, Q4_K: 0.001, BF16: 0 });
  });

  it('does so too where the probe was exact, or never made', () => {
    const known = measured({ scheme: 'Q3_K', klNats: 0.004 }, { Q3_K: 1 }, other);
    expect(pricesOf(measured({ scheme: 'Q3_K', klNats: 0.1 }, { Q3_K: 0, Q4_K: 1 }), known)).toMatchObject({
      Q4_K: 0.002,
    });
    expect(pricesOf(measured(null, { Q3_K: 2, Q4_K: 1 }), known)).toMatchObject({ Q4_K: 0.002, Q3_K: 0.004 });
  });

  it.each([Number.NaN, Infinity, -Infinity, -0.01])('refuses a probe of %d nats', (klNats) => {
    expect(() => pricesOf(measured({ scheme: 'Q3_K', klNats }, { Q3_K: 1 }))).toThrowError(
      expect.objectContaining({
        kind: 'analysis',
        code: 'PROBE_INVALID',
        message: `expected the loss of blk.0.attn_q.weight in Q3_K to be a number of at least 0, found ${klNats}`,
      }),
    );
  });

  it('refuses errors that are no numbers', () => {
    expect(() =>
      pricesOf(measured({ scheme: 'Q3_K', klNats: 1 }, { Q3_K: 1, Q4_K: Number.NaN })),
    ).toThrowError(expect.objectContaining({ code: 'ERROR_INVALID' }));
  });

  it('refuses to invent prices', () => {
    const missing = expect.objectContaining({ kind: 'analysis', code: 'PRICE_MISSING' });
    expect(() => pricesOf()).toThrowError(missing);
    expect(() => pricesOf(measured(null, { Q3_K: 1 }))).toThrowError(missing);
  });

  it('gives a locked tensor its one candidate, and prices it', () => {
    const locks = applyLocks(
      [parseLock('attn_q=Q2_K'), parseLock('attn_k=F32'), parseLock('attn_v=keep')],
      smallLlama(1),
    );
    const choices = priceOptions(storageOptions(smallLlama(1), locks), measurementsOf(smallLlama(1)));
    const of = (name: string) => choices.find((choice) => choice.tensor.includes(name));
    expect(of('attn_q')).toMatchObject({
      candidates: [{ scheme: 'Q2_K', klNats: expect.closeTo(2.4e-3, 2) }],
      constraint: { kind: 'lock', note: 'attn_q=Q2_K' },
    });
    expect(of('attn_k')?.candidates).toEqual([{ scheme: 'F32', bytes: 256 * 128 * 4, klNats: 0 }]);
    expect(of('attn_v')?.candidates).toEqual([{ scheme: 'BF16', bytes: 256 * 128 * 2, klNats: 0 }]);
  });

  it('prices what was measured beside a lock, and nothing else', () => {
    const locks = applyLocks([parseLock('attn_q=Q4_K')], [tensor]);
    const errors = { Q3_K: 2, Q4_K: 0.5, Q4_1: 0.6, Q5_K: 0.1 };
    const measurement = measured({ scheme: 'Q3_K', klNats: 0.002 }, errors);
    const [choice] = priceOptions(storageOptions([tensor], locks), [measurement]);
    const known = choice.beside?.filter(({ klNats }) => klNats !== null);
    expect(known?.map(({ scheme, klNats }) => [scheme, klNats])).toEqual([
      ['Q3_K', 0.002],
      ['Q4_K', 0.0005],
      ['Q4_1', 0.0006],
      ['Q5_K', 0.0001],
      ['BF16', 0],
    ]);
    // Q4_1 is the next size, and loses more: the step up is the next that saves.
    const line = plannedTensor(choice, choice.candidates[0]);
    expect(line).toMatchObject({ up: { scheme: 'Q5_K' }, down: { scheme: 'Q3_K', klNats: 0.0015 } });
  });

  it('keeps what is never quantized, and what nothing smaller can store', () => {
    const options = storageOptions([
      tensorOf('output_norm.weight', 'F32', 256),
      tensorOf('a.weight', 'BF16', 7, 5),
    ]);
    expect(priceOptions(options, [])).toEqual([
      {
        tensor: 'output_norm.weight',
        candidates: [{ scheme: 'F32', bytes: 1024, klNats: 0 }],
        constraint: { kind: 'kept', note: 'a vector' },
      },
      {
        tensor: 'a.weight',
        candidates: [{ scheme: 'BF16', bytes: 96, klNats: 0 }],
        constraint: { kind: 'only-legal', note: 'nothing smaller than BF16 can store rows of 7 weights' },
      },
    ]);
  });
});
