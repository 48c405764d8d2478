/** @file The main job: a model and a budget in, the smallest file that loses least out, with the loss measured on it. */
import { randomUUID } from 'node:crypto';
import { stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError, type GgufLayout, tensorByteLength } from '@bitsmith/formats';
import { learnPlan } from '../encode/learned/plan-codes.js';
import { refuseTooLittleSpace, UnfinishedOutput } from '../encode/unfinished-output.js';
import { checkCoherence, type Coherence, collapseWords, refuseCollapsed } from '../evaluate/coherence.js';
import { evaluateFile } from '../evaluate/evaluate.js';
import { sha256File } from '../io/hash.js';
import { ggufTypes } from '../plan/container.js';
import { parseTensorError, type QualityAttempt } from '../plan/quality.js';
import { originalOf } from '../model/types.js';
import { inRun, type RunContext } from '../run/context.js';
import type { Stage, Work } from '../run/events.js';
import { MemoryWatch } from '../run/memory.js';
import type { QuantizeResult, TextUse } from './record.js';
import { describeVersions } from '../run/versions.js';
import { timed } from '../run/work.js';
import { firstChunks, type TokenizedText } from '../text/tokenize.js';
import { equalizationReport } from '../transform/equalize/report.js';
import { layoutOutput } from '../write/gguf.js';
import { completeOptions } from './complete-options.js';
import { type Draft, encodeWithin, type VerifiedDraft } from './lift-tensors.js';
import { bitsPerWeightOf, fewBitsWarning, hasFewBits } from './low-bits.js';
import { type CheckedFile, meetQuality } from './meet-quality.js';
import { refuseSource, refuseUnwritable } from './output.js';
import { type PlannedModel, planModel, savePlan } from './plan.js';
import type { PlanOptions } from './plan-options.js';
import { refuseUnconfirmed } from './wishes.js';

export interface QuantizeOptions extends PlanOptions {
  /** The file to write; default `NAME-PLAN.gguf` in the working folder. */
  readonly output?: string;
  /** False leaves out running both models on the report text; the file's weights are checked in any case. */
  readonly verify?: boolean;
  /** Tokens of the report text to verify on, at most. */
  readonly verifyTokens?: number;
  /** Whether text that the file writes is looked at; default: below 2.5 bits per weight, unless `verify` is false. */
  readonly coherence?: boolean;
  /** Puts a file in place that does not write text any more. */
  readonly keepCollapsed?: boolean;
}

/** Standard error of the mean KL is then about 1 %. */
const DEFAULT_VERIFY_TOKENS = 20_480;

/**
 * Quantizes a model into a GGUF within a budget. The file appears under its name only when it is complete and checked;
 * interrupted, the same call continues where it was.
 */
export async function* quantize(options: QuantizeOptions): Work<QuantizeResult> {
  return yield* inRun(options, (run) => quantizeIn(run, options));
}

async function* quantizeIn(run: RunContext, asked: QuantizeOptions): Work<QuantizeResult> {
  const options = yield* completeOptions(run, asked);
  const seconds: Partial<Record<Stage | 'total', number>> = {};
  const started = performance.now();
  const memory = new MemoryWatch(() => run.engine.processId);
  try {
    if (options.output === undefined) await refuseUnwritable(UNNAMED);
    if (options.verify === false) refuseUnconfirmed(options);
    const { maxTensorError } = options;
    const errorLimit = maxTensorError === undefined ? null : parseTensorError(maxTensorError);
    const first = yield* timed(planModel(run, options, options.output, 'gguf'), seconds);
    const looksAtText = options.coherence ?? options.verify !== false;
    if (hasFewBits(first.plan, first.model))
      yield { type: 'note', level: 'warning', message: fewBitsWarning(first.plan, first.model, looksAtText) };
    const made = yield* timed(make(run, first, { ...options, errorLimit }), seconds);
    seconds.total = (performance.now() - started) / 1000;
    const result = await describeResult(run, { ...made, seconds, memory });
    await run.store.writeRecord(result.runId, result);
    return result;
  } finally {
    memory.stop();
  }
}

/** Stands for the default output until the plan names it: only its folder matters so far. */
const UNNAMED = 'bitsmith.gguf';

function defaultOutput({ model, plan }: PlannedModel): string {
  const name = path.basename(model.location, '.gguf').replace(/[^\w.-]+/g, '-');
  return `${name}-bitsmith-${plan.hash.slice(0, 8)}.gguf`;
}

function layoutOf({ model, schemes, plan, calibration }: PlannedModel): GgufLayout {
  const layout = layoutOutput({ model, schemes: ggufTypes(schemes), planHash: plan.hash, calibration });
  if (layout.byteLength !== plan.predicted.bytes) {
    throw new BitsmithError(
      'general',
      'SIZE_PREDICTION',
      `expected a file of ${plan.predicted.bytes} bytes as planned, the layout has ${layout.byteLength}`,
    );
  }
  return layout;
}

/** Where the output's disk is not the store's, the finished file is copied there. */
async function refuseFullDisk(
  { store }: RunContext,
  output: string,
  { byteLength }: GgufLayout,
): Promise<void> {
  const folder = path.dirname(path.resolve(output));
  const [here, there] = await Promise.all([stat(store.workFolder), stat(folder)]);
  if (here.dev === there.dev) return;
  const { bavail, bsize } = await statfs(folder);
  refuseTooLittleSpace(bavail * bsize, byteLength, folder);
}

/** A file that was encoded and checked, in the work folder. */
interface Made extends CheckedFile, VerifiedDraft {
  readonly planned: PlannedModel;
  readonly output: string;
}

interface MakeOptions extends QuantizeOptions {
  /** Largest relative error of a tensor; null for no limit. */
  readonly errorLimit: number | null;
}

/** Encodes, checks and publishes the file that meets what was asked for; no other run touches what is unfinished meanwhile. */
async function* make(
  run: RunContext,
  first: PlannedModel,
  options: MakeOptions,
): Work<Pick<Finished, 'file' | 'attempts' | 'coherence' | 'sha256'>> {
  const held: UnfinishedOutput[] = [];
  try {
    const { file, attempts } = yield* meetQuality(first, (planned) => build(run, planned, options, held));
    // What was tried last is not always what is kept.
    if (attempts.length > 1 || file.lifts.length > 0) await savePlan(file.planned.plan, first.model, options);
    const coherence = yield* lookAtText(run, file, options);
    const sha256 = await sha256File(file.unfinished.path, run.signal);
    // The engine has the file mapped, and not every system lets a mapped file be renamed.
    await run.engine.close();
    await file.unfinished.publish(path.resolve(file.output));
    return { file, attempts, coherence, sha256 };
  } finally {
    for (const unfinished of held) await unfinished.release();
  }
}

/** @param held gets what this run must give back in the end */
async function* build(
  run: RunContext,
  first: PlannedModel,
  options: MakeOptions,
  held: UnfinishedOutput[],
): Work<Made> {
  const begin = async function* (planned: PlannedModel): Work<Draft> {
    const { model, calibration, plan, texts } = planned;
    await refuseSource(outputOf(planned, options), originalOf(model));
    const layout = layoutOf(planned);
    await refuseFullDisk(run, outputOf(planned, options), layout);
    const { calibration: text } = texts;
    const learned = yield* learnPlan(run, { model, calibration, plan, text, options: options.learned });
    const unfinished = await UnfinishedOutput.open(run.store, model, calibration, layout, learned);
    held.push(unfinished);
    return { planned, layout, unfinished, learned };
  };
  try {
    const verified = yield* encodeWithin(run, first, options.errorLimit, begin);
    const { planned, unfinished } = verified;
    const discard = async (): Promise<void> => {
      // Not every system lets a mapped file be removed.
      await run.engine.rest();
      await unfinished.discard();
    };
    const cosines = new Map([...verified.written].map(([tensor, { cosine }]) => [tensor, cosine]));
    const evaluation = yield* evaluate(run, planned, unfinished.path, options);
    return { ...verified, output: outputOf(planned, options), discard, cosines, evaluation };
  } catch (error) {
    // Kept, a file that failed its check would fail it in every later run.
    if (error instanceof BitsmithError && failedChecks.has(error.code)) await held.at(-1)?.discard();
    throw error;
  }
}

function outputOf(planned: PlannedModel, { output }: QuantizeOptions): string {
  return output ?? defaultOutput(planned);
}

const failedChecks: ReadonlySet<string> = new Set(['OUTPUT_BROKEN', 'OUTPUT_NOT_FINITE']);

/** Runs the file beside the source, unless told not to. */
async function* evaluate(
  run: RunContext,
  { model, texts }: PlannedModel,
  encodedPath: string,
  options: QuantizeOptions,
): Work<Made['evaluation']> {
  if (options.verify === false) return null;
  const text = firstChunks(texts.report, options.verifyTokens ?? DEFAULT_VERIFY_TOKENS);
  return (yield* evaluateFile(run, originalOf(model), encodedPath, text)).evaluation;
}

/** What the file writes, where it may have collapsed or the user wants to know. */
async function* lookAtText(
  run: RunContext,
  { planned: { model, plan, texts }, unfinished }: Made,
  options: QuantizeOptions,
): Work<Coherence | null> {
  if (!(options.coherence ?? (options.verify !== false && hasFewBits(plan, model)))) return null;
  const found = yield* checkCoherence(run, originalOf(model), unfinished.path, texts.report);
  if (options.keepCollapsed !== true) refuseCollapsed(found, bitsPerWeightOf(plan, model));
  else if (found.signs.length > 0)
    yield { type: 'note', level: 'warning', message: `Kept as asked, though it ${collapseWords(found)}.` };
  return found;
}

interface Finished {
  readonly file: Made;
  readonly attempts: readonly QualityAttempt[];
  readonly coherence: Coherence | null;
  readonly sha256: string;
  readonly seconds: QuantizeResult['seconds'];
  readonly memory: MemoryWatch;
}

async function describeResult(run: RunContext, finished: Finished): Promise<QuantizeResult> {
  const { file, attempts, coherence, sha256, seconds, memory } = finished;
  const { planned, layout, evaluation, cosines, written, lifts, output } = file;
  const [[tensor, value]] = [...cosines].toSorted(([, a], [, b]) => a - b);
  const [[farthest, { relativeError }]] = [...written].toSorted(
    ([, a], [, b]) => b.relativeError - a.relativeError,
  );
  const { plan, texts, pricing } = planned;
  const model = originalOf(planned.model);
  const runId = `${new Date().toISOString().replaceAll(/[:.]/g, '-')}-${randomUUID().slice(0, 8)}`;
  const dataBytes = layout.tensors.reduce((sum, { type, shape }) => sum + tensorByteLength(type, shape), 0);
  return {
    status: 'success',
    runId,
    recordPath: path.join(run.store.runsFolder, `${runId}.json`),
    source: {
      location: model.location,
      name: model.name,
      architecture: model.architecture,
      dtype: model.dtype,
      parameterCount: model.parameterCount,
      byteLength: model.byteLength,
      sha256: model.sha256,
    },
    output: {
      path: path.resolve(output),
      byteLength: layout.byteLength,
      sha256,
      bitsPerWeight: (dataBytes * 8) / model.parameterCount,
    },
    compressionRatio: model.byteLength / layout.byteLength,
    plan,
    texts: {
      calibration: describeText(texts.calibration),
      search: pricing === null ? null : describeText(pricing.text),
      report:
        evaluation === null
          ? null
          : { ...describeText(texts.report), tokens: evaluation.text.chunks * evaluation.text.contextTokens },
    },
    evaluation,
    leastCosine: { tensor, value },
    largestError: { tensor: farthest, value: relativeError },
    lifts,
    coherence,
    quality: describeQuality(planned, attempts),
    search: planned.search,
    protection: planned.protection,
    equalization: equalizationReport(planned.equalization),
    seconds,
    peakMemoryBytes: memory.peakBytes,
    seed: run.seed,
    threads: run.threads,
    versions: describeVersions(run.gpu),
  };
}

function describeQuality(
  { plan, quality }: PlannedModel,
  attempts: readonly QualityAttempt[],
): QuantizeResult['quality'] {
  if (quality === null) return null;
  const final = attempts.find(({ planHash }) => planHash === plan.hash);
  return { verdicts: final?.verdicts ?? [], search: quality.fit, files: attempts };
}

function describeText(text: TokenizedText): TextUse {
  return { name: text.name, sha256: text.sha256, tokens: text.chunks.length * text.contextTokens };
}
