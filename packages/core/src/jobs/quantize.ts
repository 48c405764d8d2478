/** @file The main job: a model and a budget in, the smallest file that loses least out, with the loss measured on it. */
import { randomUUID } from 'node:crypto';
import { stat, statfs } from 'node:fs/promises';
import path from 'node:path';
import { BitsmithError, type GgufLayout, tensorByteLength } from '@bitsmith/formats';
import { encode } from '../encode/encode.js';
import { refuseTooLittleSpace, UnfinishedOutput } from '../encode/unfinished-output.js';
import { verifyWeights } from '../encode/verify.js';
import { evaluateFile } from '../evaluate/evaluate.js';
import { sha256File } from '../io/hash.js';
import { ggufTypes } from '../plan/container.js';
import type { QualityAttempt } from '../plan/quality.js';
import { inRun, type RunContext } from '../run/context.js';
import type { Stage, Work } from '../run/events.js';
import { MemoryWatch } from '../run/memory.js';
import type { QuantizeResult, TextUse } from '../run/record.js';
import { describeVersions } from '../run/versions.js';
import { timed } from '../run/work.js';
import { firstChunks, type TokenizedText } from '../text/tokenize.js';
import { layoutOutput } from '../write/gguf.js';
import { type CheckedFile, meetQuality } from './meet-quality.js';
import { completeOptions } from './complete-options.js';
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
    const first = yield* timed(planModel(run, options, options.output, 'gguf'), seconds);
    const made = yield* timed(make(run, first, options), seconds);
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
interface Made extends CheckedFile {
  readonly layout: GgufLayout;
  readonly output: string;
  readonly unfinished: UnfinishedOutput;
}

/** Encodes, checks and publishes the file that meets what was asked for; no other run touches what is unfinished meanwhile. */
async function* make(
  run: RunContext,
  first: PlannedModel,
  options: QuantizeOptions,
): Work<Pick<Finished, 'file' | 'attempts' | 'sha256'>> {
  const held: UnfinishedOutput[] = [];
  try {
    const { file, attempts } = yield* meetQuality(first, (planned) => build(run, planned, options, held));
    // What was tried last is not always what is kept.
    if (attempts.length > 1) await savePlan(file.planned.plan, first.model, options);
    const sha256 = await sha256File(file.unfinished.path, run.signal);
    // The engine has the file mapped, and not every system lets a mapped file be renamed.
    await run.engine.close();
    await file.unfinished.publish(path.resolve(file.output));
    return { file, attempts, sha256 };
  } finally {
    for (const unfinished of held) await unfinished.release();
  }
}

/** @param held gets what this run must give back in the end */
async function* build(
  run: RunContext,
  planned: PlannedModel,
  options: QuantizeOptions,
  held: UnfinishedOutput[],
): Work<Made> {
  const { model, calibration } = planned;
  const output = options.output ?? defaultOutput(planned);
  await refuseSource(output, model);
  const layout = layoutOf(planned);
  await refuseFullDisk(run, output, layout);
  const unfinished = await UnfinishedOutput.open(run.store, model, calibration, layout);
  held.push(unfinished);
  const discard = async (): Promise<void> => {
    // Not every system lets a mapped file be removed.
    await run.engine.rest();
    await unfinished.discard();
  };
  try {
    yield* encode(run, model, calibration, layout, unfinished);
    const checked = yield* check(run, planned, unfinished.path, options);
    return { planned, layout, output, unfinished, discard, ...checked };
  } catch (error) {
    // Kept, a file that failed its check would fail it in every later run.
    if (error instanceof BitsmithError && failedChecks.has(error.code)) await unfinished.discard();
    throw error;
  }
}

const failedChecks: ReadonlySet<string> = new Set(['OUTPUT_BROKEN', 'OUTPUT_NOT_FINITE']);

/** Reopens and decodes the file; then, unless told not to, runs it beside the source. */
async function* check(
  run: RunContext,
  { model, texts }: PlannedModel,
  encodedPath: string,
  options: QuantizeOptions,
): Work<Pick<Made, 'evaluation' | 'cosines'>> {
  const written = yield* verifyWeights(run, model, encodedPath);
  const cosines = new Map([...written].map(([tensor, { cosine }]) => [tensor, cosine]));
  if (options.verify === false) return { evaluation: null, cosines };
  const text = firstChunks(texts.report, options.verifyTokens ?? DEFAULT_VERIFY_TOKENS);
  const { evaluation } = yield* evaluateFile(run, model, encodedPath, text);
  return { evaluation, cosines };
}

interface Finished {
  readonly file: Made;
  readonly attempts: readonly QualityAttempt[];
  readonly sha256: string;
  readonly seconds: QuantizeResult['seconds'];
  readonly memory: MemoryWatch;
}

async function describeResult(run: RunContext, finished: Finished): Promise<QuantizeResult> {
  const { file, attempts, sha256, seconds, memory } = finished;
  const { planned, layout, evaluation, cosines, output } = file;
  const [[tensor, value]] = [...cosines].toSorted(([, a], [, b]) => a - b);
  const { model, plan, texts, pricing } = planned;
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
    quality: describeQuality(planned, attempts),
    search: planned.search,
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
