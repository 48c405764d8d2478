import { describe, expect, it } from 'vitest';
import { shareAt } from '../lib/encoders/share-at.js';

const points = [
  { share: 1, klNats: 0.01 },
  { share: 0.8, klNats: 0.04 },
  { share: 0.6, klNats: 0.16 },
];

describe('shareAt', () => {
  it('finds halfway in the logarithm halfway between the shares', () => {
    expect(shareAt(points, 0.02)).toBeCloseTo(0.9, 12);
    expect(shareAt(points, 0.08)).toBeCloseTo(0.7, 12);
    expect(shareAt(points, 0.04)).toBeCloseTo(0.8, 12);
  });

  it('goes no further than was measured', () => {
    expect(shareAt(points, 0.5)).toBe(0.6);
    expect(shareAt(points, 0.001)).toBe(1);
  });
});
