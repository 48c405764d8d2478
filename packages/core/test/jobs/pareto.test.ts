import path from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { pareto, type ParetoOptions, type ParetoResult } from '../../src/jobs/pareto.js';
import { plan } from '../../src/jobs/plan.js';
import { expectFailure } from '../support/errors.js';
import { golden, orator, runJob, snapshot } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const home = path.join(root, 'home');

/** One block and the output head are free, and the others small, so that plans are of sizes that a fit is made for. */
const small = {
  model: orator,
  home,
  locks: [String.raw`blk\.[1-7]\.|token_embd=Q4_K`],
  schemes: ['k-quants', 'Q8_0'],
  contextTokens: 64,
  samples: 4,
  probeTokens: 256,
  floorTokens: 64,
  threads: 2,
  importanceMatrix: path.join(golden, 'orator-8m.imatrix.gguf'),
  encoder: 'nearest',
} as const satisfies ParetoOptions;

let curve: ParetoResult;

beforeAll(async () => {
  curve = (await runJob(pareto({ ...small, plans: 3 }))).result;
}, 120_000);

test('a curve falls from the smallest plan to the largest, through the fit', () => {
  const { points } = curve;
  const fit = curve.fit as NonNullable<ParetoResult['fit']>;
  expect(points.length).toBeGreaterThan(2);
  for (const [index, point] of points.entries()) {
    expect(point.gap).toBeLessThan(1e-3);
    if (index === 0) continue;
    expect(point.bytes).toBeGreaterThan(points[index - 1].bytes);
    expect(point.klNats).toBeLessThan(points[index - 1].klNats);
  }
  expect(fit.measured).toHaveLength(3);
  // What is locked is measured as it is locked: it loses in every plan.
  for (const { priceSum, klNats } of fit.measured) expect(klNats).toBeGreaterThan(priceSum / 2);
  for (const { priceSum, bodySum, klNats, low, high } of points) {
    expect(bodySum).toBeLessThanOrEqual(priceSum);
    if (bodySum <= fit.mostBodySum) expect(klNats).toBeCloseTo(fit.a * priceSum + fit.b * bodySum ** 2.5, 12);
    expect(low).toBeLessThanOrEqual(klNats);
    expect(high).toBeGreaterThanOrEqual(klNats);
  }
});

test('presets stand beside the best plan of their bytes', () => {
  const names = curve.presets.map(({ name }) => name);
  expect(names).toContain('Q4_K_M');
  // Its types are not among those allowed.
  expect(names).not.toContain('IQ3_S');
  for (const { priceSum, plan: best } of curve.presets) {
    expect(priceSum).not.toBeNull();
    expect(best?.priceSum).toBeLessThanOrEqual((priceSum as number) * (1 + 1e-12));
  }
});

test('any point can be asked for, at no new measurement of prices', async () => {
  const prices = path.join(home, 'artifacts', 'gradient-price');
  const before = await snapshot(prices);
  for (const point of curve.points.slice(1, 2)) {
    const made = (await runJob(plan({ ...small, size: point.bytes }))).result;
    expect(made.predicted.klLowerBound).toBe(point.lowerBound);
    expect(made.predicted.bytes).toBeLessThanOrEqual(point.bytes);
    if (made.presetFloor?.winner !== 'preset') expect(made.predicted.bytes).toBe(point.bytes);
  }
  expect(await snapshot(prices)).toEqual(before);
});

test('without plans to fit, totals are plain sums', async () => {
  const { result } = await runJob(pareto({ ...small, plans: 0 }));
  expect(result).toMatchObject({ fit: null, text: null });
  for (const { klNats, priceSum, low } of result.points) expect([klNats, low]).toEqual([priceSum, null]);
});

test.each([
  [{ size: '5MB' }, '--size 5MB'],
  [{ planFile: 'p.yaml' }, '--plan p.yaml'],
  [{ savePlan: 'p.yaml' }, '--save-plan p.yaml'],
  [{ preset: 'Q4_K_M' }, '--preset Q4_K_M'],
])('what asks for one plan is refused beside it: %j', async (more, found) => {
  const message = new RegExp(`^expected a curve of all budgets or one plan, found both: --pareto ${found}$`);
  await expectFailure(
    () => runJob(pareto({ ...small, ...more })),
    'arguments',
    'PLAN_BESIDE_PARETO',
    message,
  );
});

test('a policy shapes the curve and is no budget', async () => {
  const { result } = await runJob(pareto({ ...small, plans: 0, policy: 'quality-max' }));
  expect(result.points[0].bytes).toBeGreaterThanOrEqual(curve.points[0].bytes);
});

test('rules know no losses to draw', async () => {
  const drawn = () => runJob(pareto({ ...small, method: 'rules' }));
  await expectFailure(drawn, 'arguments', 'RULES_BESIDE_PARETO', /^expected measured prices/);
});
