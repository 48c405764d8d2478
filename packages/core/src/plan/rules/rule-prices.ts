/**
 * @file The name rules as prices, so that the planner follows them to any size: a weight in a tensor that the rules give one bit
 * more counts four times as much, for an error falls by four with every bit. Where the budget is what the rules themselves would
 * take, schemes come out around their bits; elsewhere all move up or down together. Sixteen bits count as eight, beyond which
 * nothing can be told from the original.
 *
 * These are no losses: nothing was measured, and their unit means nothing.
 */
import type { TensorOptions } from '../options.js';
import { assemblePlan } from '../plan.js';
import type { TensorMeasurement } from '../price.js';
import { explained } from '../reasons.js';
import type { Choice, Plan, PlannedTensor, PlanStep } from '../types.js';
import { blockCount, ruleFor } from './name-rules.js';
import { typicalError } from './typical-errors.js';

const ERROR_PER_BIT = 4;
const MOST_BITS = 8;

/** Prices for all options, as if they were measured. */
export function rulePrices(storage: readonly TensorOptions[]): readonly TensorMeasurement[] {
  const blocks = blockCount(storage.map(({ tensor }) => tensor));
  const all = storage.reduce((sum, { tensor }) => sum + tensor.elements, 0);
  return storage.map(({ tensor, options }) => {
    const bits = Math.min(MOST_BITS, ruleFor(tensor, blocks).bits);
    const weight = (ERROR_PER_BIT ** (bits - MOST_BITS) * tensor.elements) / all;
    const errors = options.flatMap(({ scheme }): [string, number][] => {
      const error = typicalError(scheme);
      return error === undefined ? [] : [[scheme, weight * error]];
    });
    return { tensor, errors: new Map(errors), inNats: true, probe: null };
  });
}

/** What the solver knows of nats that do not simply add up means nothing for prices of another unit. */
export function withoutUnit(choices: readonly Choice[]): readonly Choice[] {
  return choices.map((choice) => ({ ...choice, direct: false }));
}

/** A plan that was solved for by `rulePrices`, without the figures that mean nothing, and with the rules as its reasons. */
export function asRulePlan(plan: Plan, storage: readonly TensorOptions[], headerBytes: number): Plan {
  const blocks = blockCount(storage.map(({ tensor }) => tensor));
  const tensors = plan.tensors.map((line, index): PlannedTensor => {
    const { tensor, constraint } = storage[index];
    const klNats = line.scheme === tensor.type ? 0 : null;
    if (constraint !== null)
      return explained({ ...line, klNats, up: unpriced(line.up), down: unpriced(line.down) });
    const { bits, note } = ruleFor(tensor, blocks);
    const decidedBy = { kind: 'rule', note: `by rule: ${note}, ${bits} bits` } as const;
    return explained({ ...line, klNats, decidedBy, up: null, down: null });
  });
  const made = assemblePlan({ ...plan, headerBytes, tensors, klLowerBound: null });
  return { ...made, predicted: { ...made.predicted, evidence: 'assumed' } };
}

function unpriced(step: PlanStep | null): PlanStep | null {
  return step && { ...step, klNats: null };
}
