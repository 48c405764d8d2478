/** @file What is known of choices besides their prices: what is exact whatever samples say, and what moves weights too far. */
import type { Calibration } from '../calibrate/calibrate.js';
import { ternaryTensors, withTernaryExact } from '../measure/ternary/ternary-tensors.js';
import type { Budget } from '../plan/budget.js';
import { mergeCoupled } from '../plan/coupling.js';
import { parseTensorError } from '../plan/quality.js';
import type { Choice } from '../plan/types.js';
import { refuseNoRoom, withinTensorError } from '../refine/error-limit.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { Frame } from './plan-frame.js';
import type { PlanOptions } from './plan-options.js';

/** Where the choices belong. */
interface Place extends Pick<Frame, 'model' | 'groups' | 'headerBytes'> {
  readonly calibration: Calibration;
  readonly budget: Budget;
}

/** @throws BitsmithError `TENSOR_ERROR_IMPOSSIBLE` where what is left does not fit the budget */
export async function* knownChoices(
  run: RunContext,
  { model, groups, headerBytes, calibration, budget }: Place,
  priced: readonly Choice[],
  { maxTensorError }: Pick<PlanOptions, 'maxTensorError'>,
): Work<readonly Choice[]> {
  const ternary = await ternaryTensors(run, model);
  if (ternary.size > 0) yield { type: 'note', level: 'info', message: ternaryMessage(ternary) };
  const choices = withTernaryExact(priced, ternary);
  if (maxTensorError === undefined) return choices;
  const limit = parseTensorError(maxTensorError);
  const left = yield* withinTensorError(run, model, calibration, choices, limit);
  refuseNoRoom(mergeCoupled(left, groups), headerBytes, budget, limit);
  return left;
}

function ternaryMessage(tensors: ReadonlySet<string>): string {
  const [first] = tensors;
  const which = tensors.size === 1 ? first : `${tensors.size} tensors (${first}, ...)`;
  return `Ternary already, so that TQ1_0 and TQ2_0 hold every weight exactly: ${which}.`;
}
