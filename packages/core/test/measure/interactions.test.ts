import { describe, expect, it } from 'vitest';
import { auditInteractions, interactionNats } from '../../src/measure/whole-plans/interactions.js';
import { mulberry32 } from '../../src/run/mulberry32.js';

const tensors = Array.from({ length: 30 }, (_, index) => `blk.${index}.ffn_up.weight`);

/** Inner products of unlike sizes and heavy tails; `common` is what the first two tensors share. */
function productsOf(seed: number, sequences: number, common: number): Record<string, number>[] {
  const uniform = mulberry32(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return Array.from({ length: sequences }, () => {
    const shared = normal();
    const loudness = Math.exp(normal() / 2);
    return Object.fromEntries(
      tensors.map((tensor, index) => {
        const own = index < 2 ? Math.sqrt(1 - common) * normal() + Math.sqrt(common) * shared : normal();
        return [tensor, (index + 1) * loudness * own];
      }),
    );
  });
}

describe('interactions', () => {
  it('of independent tensors are chance, whatever their sizes and tails', () => {
    const alarms = Array.from({ length: 40 }, (_, seed) =>
      auditInteractions(tensors, productsOf(seed, 128, 0)),
    );
    expect(alarms.filter(({ found }) => found.length > 0).length).toBeLessThanOrEqual(3);
    const [audit] = alarms;
    expect(audit.pairs).toBe(435);
    expect(audit.correlation / audit.noiseFloor).toBeGreaterThan(0.8);
    expect(audit.correlation / audit.noiseFloor).toBeLessThan(1.2);
    expect(Math.abs(audit.reproducibility)).toBeLessThan(0.15);
  });

  it('that are there are found, and only those', () => {
    const audit = auditInteractions(tensors, productsOf(7, 256, 0.6));
    expect(audit.found.map((pair) => pair.tensors)).toEqual([[tensors[0], tensors[1]]]);
    expect(audit.found[0].correlation).toBeGreaterThan(0.4);
    expect(audit.found[0].correlation).toBeLessThan(0.8);
  });

  it('enter a sum of prices only where they passed', () => {
    const audit = auditInteractions(tensors, productsOf(7, 256, 0.6));
    const [{ correlation }] = audit.found;
    const price = (tensor: string): number => (tensor === tensors[0] ? 0.04 : 0.01);
    expect(interactionNats(audit, price)).toBeCloseTo(2 * correlation * 0.02, 12);
    expect(interactionNats({ ...audit, found: [] }, price)).toBe(0);
  });
});
