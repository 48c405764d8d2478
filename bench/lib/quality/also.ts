/**
 * @file What each part of a plan buys: plans of the same bytes without it, in the live model. All tensors replaced are the written file,
 * bit for bit, so nothing is written here. Losses are those of the live model's positions: all but the first eighth of a chunk,
 * where files are scored on second halves.
 */
import {
  BitsmithError,
  type RunContext,
  type StorageType,
  storedBytes,
  tokensOf,
  type Work,
} from '@bitsmith/core';
import { row, type Row, say } from '../report.js';
import { ratioOfMeans } from '../statistics.js';
import type { Compared } from './files.js';
import { type Contestant, measureContestants } from './live.js';
import type { PlannerName } from './cases.js';
import { type Planner, plannerOf } from './planners.js';
import type { Setting } from './setting.js';

/** What a row says of a plan. */
const words: Readonly<Record<PlannerName, string>> = {
  'k-quants': 'K-quants only',
  rules: 'rules of names and depth only',
  activation: 'prices: activation',
  'one-at-a-time': 'prices: true losses, one at a time',
  'row-normalised': "the open proposal's criterion",
};

/** Plans with less than this of the bytes say so. */
const FULL = 0.999;

/** A row for each preset and way to plan: the plan's true loss over that of the preset. */
export async function* alsoRows(
  run: RunContext,
  on: Setting,
  compared: readonly Compared[],
  names: readonly PlannerName[],
): Work<Row[]> {
  say(`${on.about.name}: other ways to plan, on ${tokensOf(on.live)} tokens of the report text`);
  const planners = new Map<PlannerName, Planner>();
  for (const name of names) {
    say(`  ${words[name]} ...`);
    planners.set(name, yield* plannerOf(name, run, on));
  }
  const contestants = compared.flatMap((size) => contestantsOf(on, size, planners));
  const losses = yield* measureContestants(run, on, contestants);
  return compared.flatMap((size) => {
    const { preset } = size;
    const peer = losses(`${preset.name} ${PRESET}`);
    return [OURS, ...names].flatMap((name) => {
      const id = `${preset.name} ${name}`;
      const contestant = contestants.find((each) => each.id === id);
      if (contestant === undefined) return [];
      const loss = losses(id);
      const { ratio, standardError } = ratioOfMeans(loss.sequenceKlNats, peer.sequenceKlNats);
      return [
        row({
          case: `${on.about.name} ${preset.name}, also`,
          metric: `  ${name === OURS ? OURS : words[name as PlannerName]}${bytesNote(on, contestant, dataBytesOf(size))}`,
          ours: loss.klNats,
          peer: peer.klNats,
          ratio,
          standardError,
        }),
      ];
    });
  });
}

const PRESET = 'preset';
/** As judged. */
const OURS = 'ours, all parts';

/** The preset's recipe, our plan, and the others' within its bytes. */
function contestantsOf(
  { recipes }: Setting,
  size: Compared,
  planners: ReadonlyMap<PlannerName, Planner>,
): Contestant[] {
  const { preset, plan } = size;
  const recipe: ReadonlyMap<string, StorageType> | undefined = recipes.get(preset.name);
  if (recipe === undefined) throw new Error(`expected a recipe of ${preset.name}`);
  return [
    { id: `${preset.name} ${PRESET}`, schemes: recipe },
    {
      id: `${preset.name} ${OURS}`,
      schemes: new Map(plan.tensors.map(({ tensor, scheme }) => [tensor, scheme as StorageType])),
    },
    ...[...planners].flatMap(([name, planner]) => {
      const schemes = within(planner, dataBytesOf(size));
      if (schemes === null) say(`  ${preset.name}: ${words[name]} has nothing so small`);
      return schemes === null ? [] : [{ id: `${preset.name} ${name}`, schemes }];
    }),
  ];
}

/** Null for a planner whose smallest schemes take more bytes. */
function within(planner: Planner, bytes: number): ReturnType<Planner> | null {
  try {
    return planner(bytes);
  } catch (error) {
    if (error instanceof BitsmithError && error.code === 'BUDGET_IMPOSSIBLE') return null;
    throw error;
  }
}

/** What the preset's file leaves for tensors beside our header. */
function dataBytesOf({ plan, bytes }: Compared): number {
  const taken = plan.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  return bytes - (plan.predicted.bytes - taken);
}

/** Bytes are equal as far as nothing else is said. */
function bytesNote({ model }: Setting, { schemes }: Contestant, dataBytes: number): string {
  const taken = model.tensors.reduce(
    (sum, { name, type, shape }) => sum + storedBytes(schemes.get(name) ?? type, shape),
    0,
  );
  return taken >= FULL * dataBytes ? '' : ` (${((100 * taken) / dataBytes).toFixed(1)} % of the bytes)`;
}
