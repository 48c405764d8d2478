/**
 * @file What a model loses in 8 bits with its activations in 8 bits, too (W8A8): computed with rounded numbers on both sides of every
 * product, and held against the model in float32.
 */
import type { Calibration } from '../../calibrate/calibrate.js';
import { ENGINE_RELEASE } from '../../engine/release.js';
import type { EngineTasks } from '../../engine/protocol.js';
import { originalOf, type SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent, Work } from '../../run/events.js';
import type { TaskIdentity } from '../../run/store.js';
import { againAfterCrash, stage, streamed } from '../../run/work.js';
import { spreadChunks, tokensHash, type TokenizedText } from '../../text/tokenize.js';
import { describeEvaluation, type ScoredEvaluation } from '../evaluate.js';
import type { ActivationScales } from './activation-codes.js';

export interface Int8Request {
  /** What is rounded; where it was made from another, that one is what it is held against. */
  readonly model: SourceModel;
  /** Importance of the model's columns, for the ranges of its weights. */
  readonly calibration: Calibration;
  readonly activationScales: ActivationScales;
  /** What static scales are calibrated on. */
  readonly calibrationText: TokenizedText;
  /** What both are run on. */
  readonly text: TokenizedText;
}

/** Tokens that static scales are calibrated on, at most. */
const RANGE_TOKENS = 8_192;

/**
 * Runs a model in float32 and with weights and activations of every matrix in 8 bits.
 * @throws BitsmithError `GRAPH_UNSUPPORTED`, `ACTIVATION_NOT_FINITE`, `OUTPUT_NOT_FINITE`
 */
export async function* evaluateInt8(run: RunContext, request: Int8Request): Work<ScoredEvaluation> {
  const { model, calibration, activationScales, text } = request;
  const fixedScales = activationScales === 'static' ? yield* staticScales(run, request) : {};
  return yield* stage('verify', `8-bit weights and activations on ${text.name}`, async function* () {
    const { scores } = yield* inEngine(run, 'int8', 'verify', {
      sourceFiles: pathsOf(originalOf(model)),
      files: pathsOf(model),
      importancePath: calibration.path,
      positions: text.contextTokens,
      sequences: text.chunks,
      activationScales,
      fixedScales,
    });
    return describeEvaluation({ scores, sample: null }, text);
  });
}

async function* staticScales(
  run: RunContext,
  { model, calibrationText }: Int8Request,
): Work<Readonly<Record<string, number>>> {
  const text = spreadChunks(calibrationText, RANGE_TOKENS);
  const task: TaskIdentity = {
    kind: 'input-scales',
    version: 1,
    parameters: { positions: text.contextTokens, engine: ENGINE_RELEASE },
    inputs: { model: model.sha256, tokens: tokensHash(text) },
  };
  return yield* stage('measure', 'scales of activations', async function* () {
    const known = await run.store.readJson<Record<string, number>>(task);
    const scales =
      known ??
      (yield* inEngine(run, 'input-ranges', 'measure', {
        files: pathsOf(model),
        positions: text.contextTokens,
        sequences: text.chunks,
      })).scales;
    if (known === null) await run.store.writeJson(task, scales);
    const summary = `${Object.keys(scales).length} inputs`;
    return { result: scales, summary, cached: known !== null };
  });
}

async function* inEngine<Kind extends 'int8' | 'input-ranges'>(
  run: RunContext,
  kind: Kind,
  name: 'verify' | 'measure',
  parameters: EngineTasks[Kind]['parameters'],
): AsyncGenerator<RunEvent, EngineTasks[Kind]['result'], void> {
  return yield* streamed<RunEvent, EngineTasks[Kind]['result']>((emit) =>
    againAfterCrash(
      () =>
        run.engine.run(kind, parameters, {
          signal: run.signal,
          onEvent: ({ done, total }) =>
            emit({ type: 'progress', stage: name, done, total, unit: 'measurements', item: 'blocks' }),
        }),
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    ),
  );
}

function pathsOf({ files }: SourceModel): string[] {
  return files.map(({ path }) => path);
}
