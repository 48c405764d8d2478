import { describe, expect, it } from 'vitest';
import { renderPlan } from '../../src/render/plan.js';
import { renderSummary } from '../../src/render/summary.js';
import { displayWidth } from '../../src/render/terminal.js';
import { exampleResult } from './result.js';

const plain = { color: false, unicode: true, width: 80 } as const;
const base = exampleResult();
const fit = {
  bytes: 4_694_016,
  klNats: { value: 0.01312, standardError: 0.0002 },
  nllIncreaseNats: 0.0112,
  allowance: 1,
  allowedNats: 0.0135,
  evaluations: 3,
  tokens: 16_384,
  evidence: 'measured',
} as const;
const verdicts = [
  {
    kind: 'kl',
    request: 'a KL of at most 0.0135 nats per token',
    limit: 0.0135,
    measured: { value: 0.013241, standardError: 0.000183 },
    interval: [0.012882, 0.0136],
    met: true,
  },
  {
    kind: 'perplexity',
    request: "a perplexity at most 2 % above the source's",
    limit: 2,
    measured: { value: 1.1085, standardError: 0.13 },
    interval: [0.854, 1.363],
    met: true,
  },
  {
    kind: 'cosine',
    request: 'a cosine similarity of at least 0.98 in every tensor',
    limit: 0.98,
    measured: { value: 0.984512, standardError: 0 },
    interval: [0.984512, 0.984512],
    met: true,
  },
] as const;
const attempt = { planHash: base.plan.hash, bytes: fit.bytes, allowance: 1, verdicts };
const result = { ...base, quality: { verdicts, search: fit, files: [attempt, attempt] } };
const memory = {
  contextTokens: 8192,
  keyValueType: 'Q8_0',
  cacheBytes: 17_825_792,
  computeBytes: 9_442_429,
  outputBytes: 21_628,
  totalBytes: 27_289_849,
} as const;

describe('limits of quality in the summary', () => {
  it('stand with what the file has, its interval, and how many files were measured', () => {
    const lines = renderSummary(result, plain).split('\n');
    const first = lines.findIndex((line) => line.startsWith('  quality'));
    expect(lines.slice(first, first + 3)).toEqual([
      '  quality KL ≤ 0.0135: 0.0132 (95 %: 0.0129 to 0.0136), of 2 files measured',
      '          perplexity ≤ +2 %: +1.109 % (95 %: +0.854 % to +1.363 %)',
      '          cosine ≥ 0.98: 0.984512 of the least tensor',
    ]);
    expect(lines.some((line) => line.startsWith('  budget'))).toBe(false);
  });

  it('are plain ASCII where nothing else is safe, and never too wide', () => {
    const text = renderSummary(result, { ...plain, unicode: false });
    // oxlint-disable-next-line no-control-regex
    expect(text).toMatch(/^[\n\u0020-\u007E]*$/);
    for (const line of renderSummary(result, { ...plain, width: 60 }).split('\n')) {
      expect(displayWidth(line)).toBeLessThanOrEqual(60);
    }
  });

  it('are a measurement on the search text in a plan', () => {
    const plan = {
      ...base.plan,
      budget: { ...base.plan.budget, request: 'a KL of at most 0.0135 nats per token' },
      quality: fit,
      search: null,
      protection: null,
      equalization: null,
    };
    expect(renderPlan(plan, { ...plain, width: 100 })).toContain(
      '  quality a KL of at most 0.0135 nats per token: 0.0131 on the search text, by 3 plans\n' +
        '          a file would be measured on other text, and made anew where it misses that',
    );
  });
});

describe('memory in the summary', () => {
  it('is weights, context and what is computed in', () => {
    const weights = base.plan.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
    const plan = { ...base.plan, budget: { ...base.plan.budget, memory } };
    for (const text of [
      renderSummary({ ...base, plan }, plain),
      renderPlan({ ...plan, search: null, protection: null, equalization: null }, plain),
    ]) {
      expect(text).toContain(`  memory  ${((weights + memory.totalBytes) / 1e6).toFixed(1)} MB: weights `);
      expect(text).toContain('8,192 tokens in Q8_0 17.8 MB');
    }
  });
});
