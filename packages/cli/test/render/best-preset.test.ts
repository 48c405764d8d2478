import { expect, it } from 'vitest';
import { renderPlan } from '../../src/render/plan.js';
import { renderSummary } from '../../src/render/summary.js';
import { displayWidth } from '../../src/render/terminal.js';
import { exampleResult } from './result.js';

const screen = { color: false, unicode: true, width: 80 } as const;
const base = exampleResult();
const floor = {
  preset: 'Q3_K_M',
  presetBytes: 4_487_040,
  presetKlNats: { value: 0.03312, standardError: 0.0012 },
  planKlNats: { value: 0.02061, standardError: 0.0008 },
  differenceNats: { value: -0.01251, standardError: 0.0007 },
  winner: 'plan',
  tokens: 4096,
  evidence: 'measured',
} as const;

const lineOf = (text: string): string | undefined =>
  text.split('\n').find((line) => line.includes('best preset'));

it.each([
  ['plan', 'Q3_K_M 0.0331 nats, the plan 0.0206: 38 % less (4,096 tokens)'],
  ['preset', 'Q3_K_M is the plan: 0.0331 nats, not 0.0206 (4,096 tokens)'],
] as const)('the best preset stands beside a plan where the %s wins', (winner, text) => {
  const plan = { ...base.plan, presetFloor: { ...floor, winner } };
  for (const shown of [
    renderPlan({ ...plan, search: null, protection: null, equalization: null }, screen),
    renderSummary({ ...base, plan }, screen),
  ]) {
    const line = lineOf(shown) ?? '';
    expect(line).toContain(`best preset      ${text}`);
    expect(displayWidth(line)).toBeLessThanOrEqual(80);
  }
});

it('nothing stands there where no preset was measured', () => {
  expect(lineOf(renderSummary(base, screen))).toBeUndefined();
});
