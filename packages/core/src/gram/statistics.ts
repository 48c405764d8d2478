/**
 * @file What encoders know of a model beyond the importance of its columns: which input channels move together. Four fifths of the
 * calibration text give the matrices that codes are chosen by; the rest, which no encoder saw, decides row by row between these
 * codes and the nearest.
 */
import { BitsmithError } from '@bitsmith/formats';
import { gramPlace, measureGrams } from './grams.js';
import type { GatheredFiles } from '../run/gather-files.js';
import type { SourceModel } from '../model/types.js';
import type { EncoderMethod } from '../plan/encoder-name.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import { stage } from '../run/work.js';
import { spreadChunks, type TokenizedText, tokensOf } from '../text/tokenize.js';
import { gramSizes } from './gram-sizes.js';
import { hasGraph } from '../transformer/shape.js';
import type { Rounding, RoundingParameters } from './rounding.js';

export interface RoundingStatistics {
  readonly rounding: Rounding;
  /** Whether what is written is learned on top: plans are priced, searched and compared without. */
  readonly learned: boolean;
  readonly fit: GatheredFiles;
  readonly check: GatheredFiles;
}

/** Part of the key of everything that is encoded with them. */
const ROUNDING_VERSION = 7;

/** Of every so many chunks, one is kept to check by. */
const CHECKED = 5;
/** Positions for every column of the widest matrix: errors of the estimate then cost little of the gain. */
const TOKENS_PER_COLUMN = 24;
const MOST_TOKENS = 32_768;
const LEAST_TOKENS = 8192;

/**
 * Measures what `method` needs; null where codes are the nearest: asked for, or `auto` where matrices would take too much.
 * @param memoryBytes what measuring may take; left out: no limit
 * @throws BitsmithError `GRAPH_UNSUPPORTED`, `MEMORY_LIMIT`, `GRAM_TEXT_SHORT` where the method was asked for by name
 */
export async function* roundingStatistics(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  method: EncoderMethod = 'auto',
  memoryBytes?: number,
): Work<RoundingStatistics | null> {
  if (method === 'nearest') return null;
  if (method === 'auto' && (!hasGraph(model) || text.chunks.length < 2)) return null;
  const reason = method === 'auto' ? whyTooMuch(model, text, memoryBytes) : null;
  if (reason !== null) {
    yield { type: 'note', level: 'info', message: `Nearest codes instead of feedback: ${reason}` };
    return null;
  }
  if (text.chunks.length < 2) throw tooShort(text);
  try {
    return yield* measured(run, model, text, method, memoryBytes);
  } catch (error) {
    // The engine has the last word: on experts, for one, and on a limit of memory.
    if (method !== 'auto' || !(error instanceof BitsmithError) || !withoutStatistics.has(error.code))
      throw error;
    yield { type: 'note', level: 'info', message: `Nearest codes instead of feedback: ${error.message}` };
    return null;
  }
}

const withoutStatistics: ReadonlySet<string> = new Set(['GRAPH_UNSUPPORTED', 'MEMORY_LIMIT']);

async function* measured(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  method: EncoderMethod,
  memoryBytes: number | undefined,
): Work<RoundingStatistics> {
  const parts = partsOf(model, text);
  return yield* stage('calibrate', `inputs that move together, on ${text.name}`, async function* () {
    const fit = yield* measureGrams(run, model, parts.fit, memoryBytes);
    const check = yield* measureGrams(run, model, parts.check, memoryBytes);
    const result = { rounding: roundingOf(method), learned: method === 'learned', fit, check };
    const [fitted, checked] = [parts.fit, parts.check].map((part) => tokensOf(part).toLocaleString('en'));
    const summary = `how inputs move together: ${fitted} tokens, and ${checked} to check by`;
    return { result, summary, cached: fit.cached && check.cached };
  });
}

/** What is not written unless asked for by name: models of more than some four billion weights would. */
const MOST_DISK_BYTES = 20e9;
/** Of a limit of memory, what the matrices of one tensor may take. */
const MEMORY_SHARE = 0.5;

/** Depends on the model and on what was asked for alone, not on the machine: so would the bytes. */
function whyTooMuch(model: SourceModel, text: TokenizedText, memoryBytes: number | undefined): string | null {
  const { storedBytes, scratchBytes, factorBytes } = gramSizes(model, tokensOf(partsOf(model, text).fit));
  const asking = 'They can be asked for with --encoder feedback+refit.';
  const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;
  if (storedBytes + scratchBytes > MOST_DISK_BYTES)
    return `Gram matrices of all inputs would take ${gigabytes(storedBytes)} of disk, measuring them ${gigabytes(scratchBytes)} more. ${asking}`;
  if (memoryBytes !== undefined && factorBytes > MEMORY_SHARE * memoryBytes)
    return `the widest Gram matrix and its factor take ${gigabytes(factorBytes)}, too much of --work-memory. ${asking}`;
  return null;
}

function roundingOf(method: EncoderMethod): Rounding {
  return { feedback: method !== 'refit', refit: method !== 'feedback' };
}

function partsOf(model: SourceModel, text: TokenizedText): Record<'fit' | 'check', TokenizedText> {
  const widest = Math.max(...model.tensors.map(({ shape, role }) => (role === 'embedding' ? 0 : shape[0])));
  const tokens = Math.min(MOST_TOKENS, Math.max(LEAST_TOKENS, TOKENS_PER_COLUMN * widest));
  const all = spreadChunks(text, tokens);
  const isChecked = (index: number): boolean => index % CHECKED === Math.min(1, all.chunks.length - 1);
  return {
    fit: { ...all, chunks: all.chunks.filter((_, index) => !isChecked(index)) },
    check: { ...all, chunks: all.chunks.filter((_, index) => isChecked(index)) },
  };
}

/** Of every task whose result depends on codes: what they were chosen by. */
export function encoderInputs({
  sha256,
  rounding,
}: {
  readonly sha256: string;
  readonly rounding?: RoundingStatistics | null;
}): Readonly<Record<string, string>> {
  if (rounding === undefined || rounding === null) return { importance: sha256 };
  const { feedback, refit } = rounding.rounding;
  const how = [ROUNDING_VERSION, feedback, refit, rounding.fit.hash, rounding.check.hash].join(' ');
  return { importance: sha256, rounding: how };
}

/** What the engine is told of them. */
export function roundingParameters(
  model: SourceModel,
  rounding: RoundingStatistics | null | undefined,
): RoundingParameters | null {
  if (rounding === undefined || rounding === null) return null;
  const { fit, check } = rounding;
  const places = model.tensors.flatMap(({ name }) => {
    const place = gramPlace(fit, name);
    const other = gramPlace(check, name);
    return place === null || other === null ? [] : [[name, { fit: place, check: other }] as const];
  });
  return { rounding: rounding.rounding, grams: Object.fromEntries(places) };
}

function tooShort({ name }: TokenizedText): BitsmithError {
  return new BitsmithError(
    'validation',
    'GRAM_TEXT_SHORT',
    `expected at least two chunks of calibration text for encoders to measure inputs on, found one in ${name}`,
    { suggestion: 'Give more text with --text, shorter chunks with --chunk, or --encoder nearest.' },
  );
}
