/** @file A plan out of a plan file's schemes: they win over prices, locks win over them, and every figure is computed anew. */
import type { ModelTensor } from '../model/types.js';
import { FILE_ALIGNMENT, storedBytes } from './bytes.js';
import type { AppliedLock } from './locks.js';
import type { CouplingGroup } from './coupling.js';
import { assemblePlan } from './plan.js';
import { planError } from './plan-error.js';
import type { PlanInput } from './plan.js';
import { quantizable } from './quantizable.js';
import { storageOptions } from './options.js';
import { constraintDecision, explained, stepsBySize, stepsFrom } from './reasons.js';
import type { PlanFile } from './read-plan-file.js';
import type { StorageType } from './schemes.js';
import type { Choice, Decision, Plan, PlannedTensor } from './types.js';

export interface PlanFromFileInput {
  readonly source: PlanInput['source'];
  readonly file: PlanFile;
  /** All tensors of the model, in file order. */
  readonly tensors: readonly ModelTensor[];
  readonly headerBytes: number;
  readonly locks?: ReadonlyMap<string, AppliedLock>;
  /** Tensors that must share a scheme: the file is held to them. */
  readonly groups?: readonly CouplingGroup[];
  /** Prices, where they are known. */
  readonly choices?: readonly Choice[];
  readonly alignment?: number;
}

/**
 * The plan that the file asks for. It may pass the budget that the file was once made for: that is then the editor's wish,
 * and shows in `predicted.bytes` against `budget.bytes`.
 * @throws BitsmithError `PLAN_COUPLING` where tensors that must share a scheme have different ones
 */
export function planFromFile(input: PlanFromFileInput): Plan {
  const { source, file, headerBytes, locks = new Map(), choices = [], alignment = FILE_ALIGNMENT } = input;
  const priced = new Map(choices.map((choice) => [choice.tensor, choice]));
  const tensors = input.tensors.map((tensor): PlannedTensor => {
    const lock = locks.get(tensor.name);
    const scheme = lock?.scheme ?? (file.schemes.get(tensor.name) as StorageType);
    const bytes = storedBytes(scheme, tensor.shape, alignment);
    const choice = priced.get(tensor.name);
    const klNats = knownPrice(tensor, scheme, choice);
    const decidedBy = decisionOf(tensor, lock);
    const steps = stepsOf(tensor, { bytes, klNats, alignment }, decidedBy, choice);
    return explained({ tensor: tensor.name, scheme, bytes, klNats, decidedBy, ...steps });
  });
  for (const group of input.groups ?? []) refuseApart(group, tensors, file);
  return assemblePlan({ source, budget: file.budget, headerBytes, tensors, klLowerBound: null });
}

function refuseApart(group: CouplingGroup, planned: readonly PlannedTensor[], { lines }: PlanFile): void {
  const [first, ...others] = planned.filter(({ tensor }) => group.tensors.includes(tensor));
  const other = others.find(({ scheme }) => scheme !== first.scheme);
  if (other === undefined) return;
  throw planError(
    'PLAN_COUPLING',
    `plan file, lines ${lines.get(first.tensor)} and ${lines.get(other.tensor)}: ${first.tensor} in ${first.scheme} and ${other.tensor} in ${other.scheme} must share a scheme`,
    {
      expected: `one scheme for ${group.tensors.join(', ')}`,
      found: `${first.scheme} and ${other.scheme}`,
      suggestion: 'Give them one scheme in the file, or couple nothing: --couple none.',
    },
  );
}

function knownPrice(tensor: ModelTensor, scheme: StorageType, choice: Choice | undefined): number | null {
  if (scheme === tensor.type) return 0;
  return choice?.candidates.find((candidate) => candidate.scheme === scheme)?.klNats ?? null;
}

/** Along the prices where they are known, else by size. What is never quantized has none. */
function stepsOf(
  tensor: ModelTensor,
  { bytes, klNats, alignment }: { bytes: number; klNats: number | null; alignment: number },
  decidedBy: Decision,
  choice: Choice | undefined,
): Pick<PlannedTensor, 'up' | 'down'> {
  if (decidedBy.kind === 'kept') return { up: null, down: null };
  if (choice !== undefined && klNats !== null && decidedBy.kind === 'plan-file')
    return stepsFrom(choice.candidates, { bytes, klNats });
  const [{ options }] = storageOptions([tensor], undefined, alignment);
  const unpriced = options.map((option) => ({ ...option, klNats: option.scheme === tensor.type ? 0 : null }));
  return stepsBySize(unpriced, { bytes, klNats });
}

function decisionOf(tensor: ModelTensor, lock: AppliedLock | undefined): Decision {
  const { allowed, reason } = quantizable(tensor);
  if (!allowed) return constraintDecision({ kind: 'kept', note: reason });
  if (lock !== undefined) return constraintDecision({ kind: 'lock', note: lock.text });
  return constraintDecision({ kind: 'plan-file', note: 'as the plan file says' });
}
