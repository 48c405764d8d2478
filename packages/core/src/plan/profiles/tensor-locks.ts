/** @file Schemes by exact tensor names, as locks: all of them are a plan by hand, some leave the rest to the planner. */
import type { ModelTensor } from '../../model/types.js';
import type { Lock } from '../locks.js';
import { schemeForTensor } from '../named-scheme.js';
import { didYouMean, nearestNames } from '../nearest-names.js';
import { planError } from '../plan-error.js';
import { quantizable } from '../quantizable.js';

/**
 * The locks that these lines are. Tensors that are never quantized may be named, as they are stored.
 * @throws BitsmithError `PLAN_TENSOR_UNKNOWN`, `PLAN_TENSOR_KEPT`, `SCHEME_UNKNOWN` or `SCHEME_ILLEGAL`
 */
export function tensorLocks(
  schemes: Readonly<Record<string, string>>,
  tensors: readonly ModelTensor[],
): readonly Lock[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return Object.entries(schemes).flatMap(([name, scheme]) => {
    const text = `${name}=${scheme}`;
    const tensor = byName.get(name);
    if (tensor === undefined) throw unknownTensor(name, [...byName.keys()]);
    const type = schemeForTensor(scheme, tensor, `'${text}'`);
    const { allowed, reason } = quantizable(tensor);
    if (allowed) return [{ text, pattern: exactly(name), scheme }];
    if (type === tensor.type) return [];
    throw planError('PLAN_TENSOR_KEPT', `'${text}': ${name} is never quantized (${reason})`, {
      expected: `${tensor.type} or keep`,
      found: type,
      suggestion: 'Remove the line.',
    });
  });
}

function exactly(name: string): RegExp {
  return new RegExp(`^${name.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)}$`);
}

function unknownTensor(name: string, names: readonly string[]): Error {
  return planError('PLAN_TENSOR_UNKNOWN', `the model has no tensor ${JSON.stringify(name)}`, {
    expected: 'a tensor of the model',
    found: name,
    suggestion: didYouMean(nearestNames(name, names)).trim() || 'Remove the line.',
  });
}
