/**
 * @file What codes are worth where plan and bytes stay: plans from the prices of the nearest codes, among K-quants and IQ4, each measured
 * on the report text with its tensors encoded in every way. What is learned begins with feedback and refit; tensors that nothing can be
 * learned for (outside the blocks, or of uneven levels) keep what that makes.
 */
import {
  canLearn,
  type EncoderMethod,
  inRun,
  learnRounding,
  plan,
  planVariant,
  measureVariants,
  type RunContext,
  type StorageType,
  tokensOf,
  type TrueLoss,
  type Variant,
  type Work,
} from '@bitsmith/core';
import { follow } from '../follow.js';
import { type Contestant, measureContestants } from '../quality/live.js';
import { row, type Row, say } from '../report.js';
import { ratioOfMeans } from '../statistics.js';
import type { SizeCase } from './cases.js';
import { calibrationBy, type EncoderSetting } from './setting.js';

const SCHEMES = ['k-quants', 'IQ4_NL', 'IQ4_XS'];
/** The last is what is judged, and what learning begins with. */
const methods = [
  'nearest',
  'feedback',
  'refit',
  'feedback+refit',
] as const satisfies readonly EncoderMethod[];
const [NEAREST] = methods;
const JUDGED = 'feedback+refit';
const LEARNED = 'learned';

interface SizedPlan extends Contestant {
  readonly size: SizeCase;
  readonly bitsPerWeight: number;
}

export async function methodRows(on: EncoderSetting, sizes: readonly SizeCase[]): Promise<Row[]> {
  const plans: SizedPlan[] = [];
  for (const size of sizes) plans.push(await planOf(on, size));
  const { home, threads } = on.job;
  const { name } = on.about;
  say(`${name}: codes of ${plans.length} plans, on ${tokensOf(on.live)} tokens of the report text`);
  const losses = await follow(inRun({ home, threads }, (run) => measureAll(run, on, plans)));
  return [
    row({
      case: `${name}: codes`,
      metric: 'tokens of the report text that plans are measured on',
      ours: tokensOf(on.live),
    }),
    ...plans.flatMap((each) => rowsOf(on, each, losses)),
  ];
}

async function planOf(on: EncoderSetting, size: SizeCase): Promise<SizedPlan> {
  const { bitsPerWeight } = size;
  say(`${on.about.name}: a plan of ${bitsPerWeight} bits per weight ...`);
  const { tensors } = await follow(plan({ ...on.job, encoder: NEAREST, bitsPerWeight, schemes: SCHEMES }));
  const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  return {
    id: String(bitsPerWeight),
    schemes: new Map(tensors.map(({ tensor, scheme }) => [tensor, scheme as StorageType])),
    size,
    bitsPerWeight: (8 * bytes) / on.model.parameterCount,
  };
}

/** By method and plan. */
type Losses = ReadonlyMap<string, ReadonlyMap<string, TrueLoss>>;

async function* measureAll(run: RunContext, on: EncoderSetting, plans: readonly SizedPlan[]): Work<Losses> {
  const losses = new Map<string, ReadonlyMap<string, TrueLoss>>();
  for (const method of methods) {
    say(`  ${method} ...`);
    const calibration = yield* calibrationBy(run, on, method);
    const lossOf = yield* measureContestants(run, { ...on, calibration }, plans);
    losses.set(method, new Map(plans.map(({ id }) => [id, lossOf(id)])));
  }
  const learning = plans.filter(({ size }) => size.learned);
  if (learning.length > 0) losses.set(LEARNED, yield* measureLearned(run, on, learning));
  return losses;
}

async function* measureLearned(
  run: RunContext,
  on: EncoderSetting,
  plans: readonly SizedPlan[],
): Work<ReadonlyMap<string, TrueLoss>> {
  const { model, live } = on;
  const calibration = yield* calibrationBy(run, on, JUDGED);
  const variants: Variant[] = [];
  for (const each of plans) {
    say(`  ${LEARNED}, ${each.id} bits ...`);
    variants.push(yield* learnedVariant(run, { ...on, calibration }, each));
  }
  return yield* measureVariants(run, model, calibration, live, variants, 'plans with learned codes');
}

async function* learnedVariant(
  run: RunContext,
  { about, model, calibration, calibrationText }: EncoderSetting,
  { id, schemes }: SizedPlan,
): Work<Variant> {
  const { places } = yield* learnRounding(run, {
    model,
    calibration,
    text: calibrationText,
    schemes: new Map([...schemes].filter(([tensor, scheme]) => canLearn(tensor, scheme))),
    options: { samples: about.learnedSamples },
  });
  const begun = planVariant(model, id, schemes);
  return {
    id,
    changes: begun.changes.map(({ tensor, change }) => {
      const place = places.get(tensor);
      if (place === undefined || change.kind !== 'scheme') return { tensor, change };
      return { tensor, change: { kind: 'encoded', scheme: change.scheme, ...place } };
    }),
  };
}

function rowsOf({ about }: EncoderSetting, { id, size, bitsPerWeight }: SizedPlan, losses: Losses): Row[] {
  const place = { case: `${about.name}: codes at ${size.bitsPerWeight} bits` };
  const compared = (ours: string, peer: string, most?: number): Row[] => {
    const [one, other] = [ours, peer].map((method) => losses.get(method)?.get(id));
    if (one === undefined || other === undefined) return [];
    return [
      row({
        ...place,
        metric: `${ours}: mean KL, nats a token; peer: ${peer}`,
        ours: one.klNats,
        peer: other.klNats,
        ...ratioOfMeans(one.sequenceKlNats, other.sequenceKlNats),
        bar: most === undefined ? undefined : { of: 'ratio', most },
      }),
    ];
  };
  return [
    row({ ...place, metric: 'bits per weight of the plan, all tensors', ours: bitsPerWeight }),
    ...methods
      .filter((method) => method !== NEAREST)
      .flatMap((method) => compared(method, NEAREST, method === JUDGED ? size.most : undefined)),
    ...compared(LEARNED, NEAREST),
    ...compared(LEARNED, JUDGED, 1),
  ];
}
