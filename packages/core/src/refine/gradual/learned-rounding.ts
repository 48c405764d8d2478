/**
 * @file Learned rounding as a step's second try: what a stage's tensors would be rounded to is learned together, in a model that is otherwise
 * as it was, so that what was learned once serves every state that the stage meets.
 */
import type { Calibration } from '../../calibrate/calibrate.js';
import { type EncodedTensorPlace } from '../../encode/learned/learned-task.js';
import { canLearn, learnRounding } from '../../encode/learned/learned.js';
import type { LearnedOptions } from '../../encode/learned/options.js';
import type { SourceModel } from '../../model/types.js';
import type { StorageType } from '../../plan/schemes.js';
import type { RunContext } from '../../run/context.js';
import type { TokenizedText } from '../../text/tokenize.js';
import type { RoundingMethod } from './rounding.js';

export interface LearnedRoundingInput {
  readonly run: RunContext;
  readonly model: SourceModel;
  readonly calibration: Calibration;
  /** The calibration text. */
  readonly text: TokenizedText;
  readonly options?: LearnedOptions;
}

/** Tensors outside the blocks, and schemes of uneven levels, it has nothing for. */
export function learnedRounding({ run, ...input }: LearnedRoundingInput): RoundingMethod {
  const places = new Map<string, EncodedTensorPlace>();
  const keyOf = (tensor: string, scheme: StorageType): string => `${tensor} ${scheme}`;
  return {
    name: 'learned',
    async *prepare(schemes) {
      const open = [...schemes].filter(([tensor, scheme]) => canLearn(tensor, scheme));
      if (open.length < schemes.size) return;
      const learned = yield* learnRounding(run, { ...input, schemes });
      for (const [tensor, place] of learned.places)
        places.set(keyOf(tensor, schemes.get(tensor) as StorageType), place);
    },
    change(tensor, scheme) {
      const place = places.get(keyOf(tensor, scheme));
      return place === undefined ? null : { kind: 'encoded', scheme, ...place };
    },
  };
}
