/**
 * @file Calibration: runs the model over text and keeps, for every weight, the mean square of its inputs (the importance
 * matrix), and how often each embedding row is looked up. Ranges of chunks are artifacts of their own, so an interrupted
 * calibration continues; the sum over ranges is the same however often it was interrupted.
 */
import { type ImportanceEntry, type ImportanceMatrix, layoutImatrix, writeImatrix } from '@bitsmith/formats';
import { fitsTwice } from '../engine/batch-limits.js';
import { EngineHost } from '../engine/host.js';
import { writeAtomically } from '../io/file-sink.js';
import { readImportance } from '../io/read-importance.js';
import { sha256File } from '../io/hash.js';
import type { SourceModel } from '../model/types.js';
import { quantizable } from '../plan/quantizable.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { TaskIdentity } from '../run/store.js';
import { inLanes } from '../run/lanes.js';
import { stage, streamed, withNewEngineAfterCrash } from '../run/work.js';
import { engineKey } from '../engine/release.js';
import type { RoundingStatistics } from '../gram/statistics.js';
import { tokensHash, type TokenizedText } from '../text/tokenize.js';
import { ImportanceAccumulator, ROW_COUNTS } from './accumulator.js';

/** An importance matrix in the store. */
export interface Calibration {
  readonly path: string;
  readonly sha256: string;
  /** Tokens it was measured on. */
  readonly tokens: number;
  readonly dataset: string;
  /** What codes are chosen by beyond it; absent or null: they are the nearest. */
  readonly rounding?: RoundingStatistics | null;
}

/** Tokens a range holds, about: what is lost when a calibration is interrupted. */
const RANGE_TOKENS = 8192;

interface Range {
  readonly task: TaskIdentity;
  readonly chunks: readonly Int32Array[];
}

/** Measures the importance matrix of a model on a text. */
export async function* calibrate(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
): Work<Calibration> {
  return yield* stage('calibrate', `importance matrix on ${text.name}`, async function* () {
    const ranges = cutIntoRanges(run, model, text);
    const total = text.chunks.length * text.contextTokens;
    const summary = `${total.toLocaleString('en')} tokens`;
    const whole = wholeTask(run, model, text);
    const known = await run.store.find(whole, 'gguf');
    if (known !== null) {
      return { result: await describeCalibration(known, total, text.name), summary, cached: true };
    }
    yield* streamed((emit) => collectMissing(run, model, text, ranges, emit));
    const merged = await mergeRanges(run, model, text, ranges);
    const file = run.store.temporaryPath('gguf');
    await writeAtomically(file, (sink) => writeImatrix(sink, layoutImatrix(merged)));
    const path = await run.store.adopt(file, whole, 'gguf');
    return { result: await describeCalibration(path, total, text.name), summary, cached: false };
  });
}

/** Takes an importance matrix that was made elsewhere; completes it where tensors have no entry. */
export async function* adoptCalibration(
  run: RunContext,
  model: SourceModel,
  file: string,
): Work<Calibration> {
  return yield* stage('calibrate', `importance matrix from ${file}`, async function* () {
    const matrix = completed(await readImportance(file, run.signal), model);
    const task = await adoptedTask(run, model, file);
    const temporary = run.store.temporaryPath('gguf');
    await writeAtomically(temporary, (sink) => writeImatrix(sink, layoutImatrix(matrix)));
    const path = await run.store.adopt(temporary, task, 'gguf');
    const tokens = matrix.chunkCount * matrix.chunkSize;
    const result = await describeCalibration(path, tokens, datasetOf(matrix));
    yield { type: 'progress', stage: 'calibrate', done: tokens, total: tokens, unit: 'tokens' };
    return { result, summary: `${matrix.entries.size} entries`, cached: true };
  });
}

async function adoptedTask(run: RunContext, model: SourceModel, file: string): Promise<TaskIdentity> {
  return {
    kind: 'importance',
    version: 1,
    parameters: { adopted: true },
    inputs: { model: model.sha256, file: await run.store.fileHash(file, run.signal) },
  };
}

/** Whether an earlier run took this matrix for this model. */
export async function isAdopted(run: RunContext, model: SourceModel, file: string): Promise<boolean> {
  return (await run.store.find(await adoptedTask(run, model, file), 'gguf')) !== null;
}

/** Whether an earlier run calibrated this model on this text, or began to. */
export async function isCalibrationBegun(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
): Promise<boolean> {
  const tasks = [wholeTask(run, model, text), ...cutIntoRanges(run, model, text).map(({ task }) => task)];
  for (const task of tasks) if ((await run.store.find(task, 'gguf')) !== null) return true;
  return false;
}

/** What a matrix was measured on, as a written file names it. */
export function datasetOf(matrix: ImportanceMatrix): string {
  return matrix.datasets.join(', ');
}

async function describeCalibration(path: string, tokens: number, dataset: string): Promise<Calibration> {
  return { path, sha256: await sha256File(path), tokens, dataset };
}

function wholeTask(run: RunContext, model: SourceModel, text: TokenizedText): TaskIdentity {
  return {
    kind: 'importance',
    version: 1,
    // The file names its text: the same words under another name make another file, whose hash a written model holds.
    parameters: {
      dataset: text.name,
      contextTokens: text.contextTokens,
      chunks: text.chunks.length,
      ...engineKey(run.gpu),
    },
    inputs: { model: model.sha256, tokens: tokensHash(text) },
  };
}

function cutIntoRanges(run: RunContext, model: SourceModel, text: TokenizedText): Range[] {
  const perRange = Math.max(1, Math.floor(RANGE_TOKENS / text.contextTokens));
  const ranges: Range[] = [];
  for (let first = 0; first < text.chunks.length; first += perRange) {
    const chunks = text.chunks.slice(first, first + perRange);
    const task: TaskIdentity = {
      kind: 'importance-range',
      version: 1,
      parameters: {
        contextTokens: text.contextTokens,
        first,
        chunks: chunks.length,
        ...engineKey(run.gpu),
      },
      inputs: { model: model.sha256, tokens: tokensHash({ chunks }) },
    };
    ranges.push({ task, chunks });
  }
  return ranges;
}

async function collectMissing(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  ranges: readonly Range[],
  emit: (
    event: { type: 'progress'; stage: 'calibrate'; done: number; total: number; unit: 'tokens' } | Crash,
  ) => void,
): Promise<void> {
  const total = text.chunks.length * text.contextTokens;
  const absent = async (): Promise<Range[]> => {
    const found = await Promise.all(ranges.map((range) => run.store.find(range.task, 'gguf')));
    return ranges.filter((_, index) => found[index] === null);
  };
  await withNewEngineAfterCrash(
    async () => (await absent()).length,
    async () => {
      const missing = await absent();
      let done = total - missing.reduce((sum, range) => sum + range.chunks.length * text.contextTokens, 0);
      const vocabulary = model.tensors.find(({ role }) => role === 'embedding')?.shape[1] ?? 0;
      const room = missing.length > 1 && fitsTwice(text.contextTokens, vocabulary);
      await withCompanion(run, room, async (engines) => {
        const free = [...engines];
        await inLanes(engines.length, missing, async (range) => {
          const engine = free.pop() as EngineHost;
          const temporary = run.store.temporaryPath('gguf');
          await engine.run(
            'calibrate',
            {
              ggufPath: model.ggufPath,
              contextTokens: text.contextTokens,
              dataset: text.name,
              threads: Math.max(1, Math.floor(run.threads / engines.length)),
              ranges: [{ chunks: range.chunks, output: temporary }],
            },
            {
              signal: run.signal,
              onEvent: ({ tokens }) => {
                done += tokens;
                emit({ type: 'progress', stage: 'calibrate', done, total, unit: 'tokens' });
              },
            },
          );
          await run.store.adopt(temporary, range.task, 'gguf');
          free.push(engine);
        });
      });
    },
    (error) => emit({ type: 'note', level: 'warning', message: error.message }),
  );
}

/**
 * A second engine beside the run's own where there are threads and room for it. Ranges do not share anything, while threads that
 * share a graph wait for each other at every node.
 */
async function withCompanion(
  run: RunContext,
  room: boolean,
  work: (engines: readonly EngineHost[]) => Promise<void>,
): Promise<void> {
  if (run.threads < 2 || !room || run.gpu !== undefined) return await work([run.engine]);
  const companion = new EngineHost(run.engine.settings);
  try {
    await work([run.engine, companion]);
  } finally {
    await companion.close();
  }
}

interface Crash {
  readonly type: 'note';
  readonly level: 'warning';
  readonly message: string;
}

async function mergeRanges(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  ranges: readonly Range[],
): Promise<ImportanceMatrix> {
  const vocabulary = model.tensors.find((tensor) => tensor.name === 'token_embd.weight')?.shape[1] ?? 0;
  const accumulator = new ImportanceAccumulator(vocabulary);
  for (const range of ranges)
    accumulator.merge(await readImportance(run.store.pathOf(range.task, 'gguf'), run.signal));
  const about = { dataset: text.name, chunks: text.chunks.length, contextTokens: text.contextTokens };
  return completed(accumulator.toImportanceMatrix(about), model);
}

/**
 * Gives every tensor that can be quantized an entry. What was never seen as the input of a matrix product, above all an
 * embedding that is only looked up, gets equal weights: encoders still do better with a constant vector than without one.
 */
function completed(matrix: ImportanceMatrix, model: SourceModel): ImportanceMatrix {
  const entries = new Map(matrix.entries);
  for (const tensor of model.tensors) {
    if (entries.has(tensor.name) || !quantizable(tensor).allowed) continue;
    entries.set(tensor.name, uniformEntry(tensor.shape[0]));
  }
  const sorted = new Map([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
  const extra = matrix.extra.has(ROW_COUNTS) ? matrix.extra : new Map();
  return { ...matrix, entries: sorted, extra };
}

function uniformEntry(columns: number): ImportanceEntry {
  return { columns, matrices: 1, inSum2: new Float32Array(columns).fill(1), counts: Float32Array.of(1) };
}
