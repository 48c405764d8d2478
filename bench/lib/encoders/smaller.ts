/**
 * @file How much smaller our file is at the preset's loss: plans of shares of the preset's bytes, in the live model on the same tokens as
 * the preset's recipe, and between the two plans around the preset's loss a straight line in its logarithm.
 */
import {
  BitsmithError,
  inRun,
  plan,
  type StorageType,
  tokensOf,
  type TrueLoss,
  type Work,
} from '@bitsmith/core';
import { follow } from '../follow.js';
import { measureContestants } from '../quality/live.js';
import type { Compared } from '../quality/files.js';
import { randomWords } from '../random.js';
import { row, type Row, say } from '../report.js';
import { bootstrapError, mean } from '../statistics.js';
import { calibrationBy, type EncoderSetting } from './setting.js';
import { shareAt } from './share-at.js';

/** Of the preset's bytes: plans get smaller by so much at a time until they lose more than the preset. */
const STEP = 0.075;
const FIRST_SHARE = 0.9;
const LEAST_SHARE = 0.4;
/** What our file has to be smaller by. */
const LEAST_GAIN = 0.15;
const DRAWS = 200;

/** What a plan of this share of the preset's bytes loses. */
interface Point {
  readonly share: number;
  readonly loss: TrueLoss;
}

export async function smallerRows(on: EncoderSetting, compared: Compared): Promise<Row[]> {
  const { name } = compared.preset;
  say(`  smaller plans beside ${name}, on ${tokensOf(on.live)} tokens ...`);
  const preset = await lossOfPreset(on, compared);
  const points: Point[] = [{ share: 1, loss: await lossOf(on, schemesOf(compared.plan)) }];
  for (let share = FIRST_SHARE; share >= LEAST_SHARE && !isReached(points, preset); share -= STEP) {
    const schemes = await planOf(on, Math.floor(share * compared.bytes));
    if (schemes === null) break;
    const loss = await lossOf(on, schemes);
    say(`    ${(100 * share).toFixed(1)} %: ${loss.klNats.toFixed(6)}, ${name} ${preset.klNats.toFixed(6)}`);
    points.push({ share, loss });
  }
  return rowsOf(`${on.about.name} ${name}`, points, preset);
}

type Schemes = ReadonlyMap<string, StorageType>;

function schemesOf({ tensors }: Compared['plan']): Schemes {
  return new Map(tensors.map(({ tensor, scheme }) => [tensor, scheme as StorageType]));
}

/** Null where even the smallest schemes take more. */
async function planOf(on: EncoderSetting, size: number): Promise<Schemes | null> {
  try {
    return schemesOf(await follow(plan({ ...on.job, size })));
  } catch (error) {
    if (error instanceof BitsmithError && error.code === 'BUDGET_IMPOSSIBLE') return null;
    throw error;
  }
}

/** In the nearest codes, as llama.cpp writes it. */
async function lossOfPreset(on: EncoderSetting, { preset: { name } }: Compared): Promise<TrueLoss> {
  const recipe: Schemes | undefined = on.recipes.get(name);
  if (recipe === undefined) throw new Error(`expected a recipe of ${name}`);
  return lossOf({ ...on, job: { ...on.job, encoder: 'nearest' } }, recipe);
}

/** In the codes of the job's encoder. */
async function lossOf(on: EncoderSetting, schemes: Schemes): Promise<TrueLoss> {
  const { home, threads, encoder } = on.job;
  return follow(
    inRun({ home, threads }, async function* (run): Work<TrueLoss> {
      const calibration = yield* calibrationBy(run, on, encoder);
      return (yield* measureContestants(run, { ...on, calibration }, [{ id: encoder, schemes }]))(encoder);
    }),
  );
}

function rowsOf(about: string, points: readonly Point[], preset: TrueLoss): Row[] {
  const klOf = (drawn: readonly number[], { sequenceKlNats }: TrueLoss): number =>
    mean(drawn.map((sequence) => sequenceKlNats[sequence]));
  const gainOf = (drawn: readonly number[]): number =>
    1 -
    shareAt(
      points.map(({ share, loss }) => ({ share, klNats: klOf(drawn, loss) })),
      klOf(drawn, preset),
    );
  const sequences = preset.sequenceKlNats.map((_, index) => index);
  return [
    row({
      case: about,
      metric: `how much smaller ours is at the preset's KL, as a share${isReached(points, preset) ? '' : ' (at least)'}`,
      ours: gainOf(sequences),
      standardError: bootstrapError(sequences.length, DRAWS, randomWords(1), gainOf),
      bar: { of: 'ours', least: LEAST_GAIN },
    }),
    ...points.map(({ share, loss }) =>
      row({
        case: about,
        metric: `  live KL of ours in ${(100 * share).toFixed(1)} % of the bytes; peer: the preset in all of them`,
        ours: loss.klNats,
        peer: preset.klNats,
      }),
    ),
  ];
}

/** Whether some plan loses as much as the preset. */
function isReached(points: readonly Point[], preset: TrueLoss): boolean {
  return points.some(({ loss }) => loss.klNats >= preset.klNats);
}
