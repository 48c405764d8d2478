/**
 * @file What each method's prices are worth to a planner: true loss of the plan that they give, over that of the plan from true
 * single-tensor losses, at the same size. Both are judged on text that no price was measured on.
 */
import type { Work } from '@bitsmith/core';
import { type Bar, row, type Row } from '../report.js';
import { ratioOfMeans } from '../statistics.js';
import { type Estimate, valueOf } from './estimates.js';
import type { LadderPlan, PlanSpace } from './plans.js';
import type { Setting } from './setting.js';
import { lossOf, planTruth, type Truth } from './truth.js';

/** Bits per weight that plans are made for. */
const planSizes = [2.6, 3.1, 3.6, 4.6] as const;

export async function* allocationRows(
  name: string,
  on: Setting,
  space: PlanSpace,
  singles: Truth,
  estimates: readonly { readonly estimate: Estimate; readonly bar?: Bar }[],
): Work<Row[]> {
  const sizes = planSizes.filter((bits) => bits >= space.range().least);
  const oracles = sizes.map((bits) =>
    space.bestPlan(`oracle ${bits}`, bits, ({ id }) => lossOf(singles, id).klNats),
  );
  const plans = estimates.map(({ estimate }) =>
    sizes.map((bits) =>
      space.bestPlan(`${estimate.method} ${bits}`, bits, (pair) => valueOf(estimate, pair)),
    ),
  );
  const truth = yield* planTruth(on, [...oracles, ...plans.flat()], on.texts.judge);
  return estimates.flatMap(({ estimate, bar }, method) =>
    sizes.map((bits, index) =>
      comparison(`${name}: ${estimate.method}`, bits, plans[method][index], oracles[index], truth, bar),
    ),
  );
}

function comparison(
  about: string,
  bits: number,
  plan: LadderPlan,
  oracle: LadderPlan,
  truth: Truth,
  bar: Bar | undefined,
): Row {
  const [mine, best] = [plan, oracle].map(({ id }) => lossOf(truth, id));
  const { ratio, standardError } = ratioOfMeans(mine.sequenceKlNats, best.sequenceKlNats);
  return row({
    case: about,
    metric: `true KL of the plan at ${bits} bits; peer: plan from true losses`,
    ours: mine.klNats,
    peer: best.klNats,
    ratio,
    standardError,
    bar,
  });
}
