/**
 * @file Learned rounding in the store: an artifact a block, so that an interrupted run keeps the blocks that it finished. A block's codes
 * depend on those before it, whose roundings it makes good, so the schemes of all of them stand in its key.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Calibration } from '../../calibrate/calibrate.js';
import { ENGINE_RELEASE } from '../../engine/release.js';
import type { SourceModel } from '../../model/types.js';
import { AFFINE_VERSION } from '../../plan/affine-schemes.js';
import type { StorageType } from '../../plan/schemes.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent } from '../../run/events.js';
import type { TaskIdentity } from '../../run/store.js';
import { tokensHash, type TokenizedText } from '../../text/tokenize.js';
import { gatherFiles, type GatheredFiles } from '../../run/gather-files.js';
import { encoderInputs, roundingParameters } from '../../gram/statistics.js';
import type { BlockLearned } from './learn-block.js';
import { blockOf } from './learned-pass.js';
import type { EncodedTensorPlace } from './learned-task.js';
import { type LearnedOptions, type LearnedSettings, learnedSettings } from './options.js';
import { isLearnable, notLinear } from './starting-grid.js';

export interface LearnedInput {
  readonly model: SourceModel;
  readonly calibration: Calibration;
  /** Learned from, and judged by. Where the calibration knows the inputs, codes begin with what that encoder makes. */
  readonly text: TokenizedText;
  /** By tensor: matrices of the model's blocks, in schemes of equally spaced levels. */
  readonly schemes: ReadonlyMap<string, StorageType>;
  /** Squared gradients by which channels of what comes out of a block are weighed; absent: all alike. */
  readonly gradients?: Pick<GatheredFiles, 'paths' | 'hash'>;
  readonly options?: LearnedOptions;
}

/** Codes of tensors that are not what their scheme's own encoder makes. */
export interface LearnedCodes {
  /** By tensor. */
  readonly places: ReadonlyMap<string, EncodedTensorPlace>;
  /** Names everything that the codes depend on. */
  readonly hash: string;
  /** True when nothing had to be learned. */
  readonly cached: boolean;
}

/** Increases when the same inputs give other codes. */
const VERSION = 1;

/**
 * Learns the rounding of these tensors together.
 * @throws BitsmithError `LEARNED_SCHEME`, `LEARNED_TENSOR`, `LEARNED_INVALID`
 */
export async function* learnRounding(
  run: RunContext,
  input: LearnedInput,
): AsyncGenerator<RunEvent, LearnedCodes, void> {
  const { model, calibration, text, schemes, gradients } = input;
  refuseOthers(schemes);
  const settings = learnedSettings(input.options);
  const sequences = text.chunks.slice(0, settings.samples);
  const blocks = [...new Set([...schemes.keys()].map(blockOf))].toSorted((a, b) => a - b);
  const taskOf = (block: number): TaskIdentity => identity(input, settings, sequences, block);
  const { paths, hash, cached } = yield* gatherFiles(run, {
    items: blocks,
    taskOf,
    extension: 'safetensors',
    label: 'learned rounding',
    work: ({ outputs, finished, emit }) => {
      const places = blocks.map((block) => {
        const output = outputs.get(block);
        return [
          block,
          { path: output ?? run.store.pathOf(taskOf(block), 'safetensors'), done: output === undefined },
        ];
      });
      return run.engine.run(
        'learned',
        {
          files: model.files.map((file) => file.path),
          importancePath: calibration.path,
          positions: text.contextTokens,
          sequences,
          settings,
          schemes: Object.fromEntries(schemes),
          rounding: roundingParameters(model, calibration.rounding),
          gradientPaths: gradients?.paths ?? null,
          blocks: Object.fromEntries(places),
        },
        {
          signal: run.signal,
          onEvent: ({ block, learned }) => {
            finished(block);
            emit({ type: 'note', level: 'verbose', message: describe(block, learned) });
          },
        },
      );
    },
  });
  const pathOf = new Map(blocks.map((block, index) => [block, paths[index]]));
  const places = new Map(
    [...schemes.keys()].map((name) => [name, { path: pathOf.get(blockOf(name)) as string, name }]),
  );
  return { places, hash, cached };
}

function describe(block: number, { startError, error, keptStep }: BlockLearned): string {
  const left = ((100 * error) / startError).toFixed(1);
  return keptStep === 0
    ? `rounding of block ${block}: the codes that it began with stay`
    : `rounding of block ${block}: ${left} % of the output's squared error is left after ${keptStep} steps`;
}

function identity(
  { model, calibration, text, schemes, gradients }: LearnedInput,
  settings: LearnedSettings,
  sequences: readonly Int32Array[],
  block: number,
): TaskIdentity {
  const before = [...schemes]
    .filter(([name]) => blockOf(name) <= block)
    .toSorted(([a], [b]) => (a < b ? -1 : 1));
  return {
    kind: 'learned',
    version: VERSION,
    parameters: {
      block,
      schemes: before,
      settings,
      positions: text.contextTokens,
      engine: ENGINE_RELEASE,
      affine: AFFINE_VERSION,
    },
    inputs: {
      model: model.sha256,
      ...encoderInputs(calibration),
      tokens: tokensHash({ chunks: sequences }),
      ...(gradients === undefined ? {} : { gradients: gradients.hash }),
    },
  };
}

/** True for a matrix of a block in a scheme of equally spaced levels. */
export function canLearn(tensor: string, scheme: StorageType): boolean {
  return isBlockMatrix(tensor) && isLearnable(scheme);
}

function isBlockMatrix(tensor: string): boolean {
  return /^blk\.\d+\.(attn|ffn)_(?!.*norm)\w+\.weight$/.test(tensor);
}

function refuseOthers(schemes: ReadonlyMap<string, StorageType>): void {
  for (const [name, scheme] of schemes) {
    if (!isLearnable(scheme)) throw notLinear(scheme, name);
    if (!isBlockMatrix(name))
      throw new BitsmithError(
        'arguments',
        'LEARNED_TENSOR',
        `expected a matrix of one of the model's blocks, found ${name}`,
        { suggestion: 'The embedding and the output head have no block whose output could be compared.' },
      );
  }
}
