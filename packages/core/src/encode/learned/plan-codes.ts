/** @file The learned codes of a whole plan, where they were asked for: of every tensor that rounding can be learned for. */
import type { Calibration } from '../../calibrate/calibrate.js';
import type { SourceModel } from '../../model/types.js';
import type { StorageType } from '../../plan/schemes.js';
import type { Plan } from '../../plan/types.js';
import type { RunContext } from '../../run/context.js';
import type { Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import type { TokenizedText } from '../../text/tokenize.js';
import type { LearnedOptions } from './options.js';
import { canLearn, type LearnedCodes, learnRounding } from './learned.js';

export interface LearnedPlan {
  readonly model: SourceModel;
  readonly calibration: Calibration;
  readonly plan: Plan;
  /** The calibration text. */
  readonly text: TokenizedText;
  readonly options?: LearnedOptions;
}

/** Null where codes were not to be learned, or none can be. */
export async function* learnPlan(
  run: RunContext,
  { model, calibration, plan, text, options }: LearnedPlan,
): Work<LearnedCodes | null> {
  if (calibration.rounding?.learned !== true) return null;
  const all = plan.tensors.map(({ tensor, scheme }) => [tensor, scheme as StorageType] as const);
  const schemes = new Map(all.filter(([tensor, scheme]) => canLearn(tensor, scheme)));
  if (schemes.size === 0) return null;
  return yield* stage('encode', `rounding learned on ${text.name}`, async function* () {
    const learned = yield* learnRounding(run, { model, calibration, text, schemes, options });
    const others = all.length - schemes.size;
    const summary = `rounding of ${schemes.size} tensors learned, ${others} as they are`;
    return { result: learned, summary, cached: learned.cached };
  });
}
