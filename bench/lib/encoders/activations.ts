/**
 * @file What equalizing channels is worth: perplexity with weights and activations in 8 bits, computed so, and the loss of 4-bit affine
 * codes, plain and on the equalized model.
 */
import {
  calibrate,
  equalize,
  type EqualizeMode,
  evaluateActivations,
  inRun,
  measureVariants,
  type RunContext,
  type SourceModel,
  tokensOf,
  type TrueLoss,
  type Variant,
  type Work,
} from '@bitsmith/core';
import { follow } from '../follow.js';
import { type Bar, row, type Row, say } from '../report.js';
import { ratioOfMeans } from '../statistics.js';
import type { EncoderSetting } from './setting.js';

const EIGHT_BITS: Bar = { of: 'ratio', least: 0.99, most: 1.01 };
/** What channels are equalized by; undefined: not at all. */
const equalizers = [undefined, 0.5, 'search'] as const;
type Equalizer = (typeof equalizers)[number];

const FOUR_BITS = 'affine4-g128';
const fourBitModes: readonly EqualizeMode[] = [
  { kind: 'alpha', alpha: 0.5 },
  { kind: 'search', rounding: { scheme: FOUR_BITS, activations: false } },
];

export async function activationRows(on: EncoderSetting): Promise<Row[]> {
  const rows: Row[] = [];
  for (const equalizer of equalizers) rows.push(await eightBitRow(on, equalizer));
  const { home, threads } = on.job;
  return [...rows, ...(await follow(inRun({ home, threads }, (run) => fourBitRows(run, on))))];
}

async function eightBitRow({ about, job }: EncoderSetting, equalizer: Equalizer): Promise<Row> {
  say(`${about.name}: 8-bit weights and activations, ${wordOf(equalizer)} ...`);
  const { model, home, threads, contextTokens, calibrationTokens } = job;
  const { evaluation } = await follow(
    evaluateActivations({
      model,
      home,
      threads,
      contextTokens,
      calibrationTokens,
      equalize: equalizer,
      tokens: about.activationTokens,
    }),
  );
  const { source, output, logPerplexityRatio, positions } = evaluation;
  const ratio = Math.exp(logPerplexityRatio.value);
  return row({
    case: `${about.name}: W8A8`,
    metric: `${wordOf(equalizer)}: perplexity at ${positions.toLocaleString('en')} positions; peer: the source's`,
    ours: output.perplexity.value,
    peer: source.perplexity.value,
    ratio,
    standardError: ratio * logPerplexityRatio.standardError,
    bar: equalizer === undefined ? undefined : EIGHT_BITS,
  });
}

function wordOf(equalizer: Equalizer): string {
  if (equalizer === undefined) return 'channels as they are';
  return equalizer === 'search' ? 'equalized, searched' : `equalized, alpha ${equalizer}`;
}

async function* fourBitRows(run: RunContext, on: EncoderSetting): Work<Row[]> {
  const { about, model, calibrationText, live } = on;
  say(`${about.name}: blocks in ${FOUR_BITS} ...`);
  const plain = yield* fourBitLoss(run, on, model);
  const rows: Row[] = [];
  for (const mode of fourBitModes) {
    const equalized = yield* equalize(run, model, calibrationText, mode);
    const loss = yield* fourBitLoss(run, on, equalized.model);
    const how = wordOf(mode.kind === 'search' ? 'search' : 0.5);
    rows.push(
      row({
        case: `${about.name}: ${FOUR_BITS}`,
        metric: `${how}: mean KL on ${tokensOf(live).toLocaleString('en')} tokens; peer: plain`,
        ours: loss.klNats,
        peer: plain.klNats,
        ...ratioOfMeans(loss.sequenceKlNats, plain.sequenceKlNats),
        bar: mode.kind === 'search' ? { of: 'ratio', most: 1 } : undefined,
      }),
    );
  }
  return rows;
}

/** All matrices of the blocks in the nearest 4-bit codes, by the importance matrix of this very model. */
async function* fourBitLoss(
  run: RunContext,
  { calibrationText, live }: EncoderSetting,
  model: SourceModel,
): Work<TrueLoss> {
  const calibration = yield* calibrate(run, model, calibrationText);
  const variant: Variant = {
    id: FOUR_BITS,
    changes: model.tensors
      .filter(({ block, shape }) => block !== null && shape.length > 1)
      .map(({ name }) => ({ tensor: name, change: { kind: 'scheme', scheme: FOUR_BITS } })),
  };
  const losses = yield* measureVariants(run, model, calibration, live, [variant], FOUR_BITS);
  const loss = losses.get(FOUR_BITS);
  if (loss === undefined) throw new Error(`expected a true loss of ${FOUR_BITS}`);
  return loss;
}
