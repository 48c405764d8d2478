/** @file What is said before a long run at very few bits, where many models stop writing text. */
import type { Plan } from '../plan/types.js';
import { formatNats } from '../plan/units.js';
import type { SourceModel } from '../model/types.js';

/** Below so many bits per weight, whole files stop being of use: there they are warned of, and their text is looked at. */
const FEW_BITS = 2.5;

/** Stored bits of all tensors by the number of weights. */
export function bitsPerWeightOf(plan: Plan, model: Pick<SourceModel, 'parameterCount'>): number {
  const bytes = plan.tensors.reduce((sum, tensor) => sum + tensor.bytes, 0);
  return (bytes * 8) / model.parameterCount;
}

export function hasFewBits(plan: Plan, model: Pick<SourceModel, 'parameterCount'>): boolean {
  return bitsPerWeightOf(plan, model) < FEW_BITS;
}

/** The loss to expect, and how it is known. @param looksAtText whether what the file writes will be looked at */
export function fewBitsWarning(
  plan: Plan,
  model: Pick<SourceModel, 'parameterCount'>,
  looksAtText: boolean,
): string {
  const bits = bitsPerWeightOf(plan, model).toFixed(2);
  return `${bits} bits per weight: ${lossWords(plan)}. Below ${FEW_BITS} bits many models no longer write text${looksAtText ? ': what the file writes will be looked at before it is put in place' : ''}.`;
}

function lossWords({ presetFloor, quality, predicted }: Plan): string {
  const measured =
    quality?.klNats.value ??
    (presetFloor === null
      ? undefined
      : presetFloor[presetFloor.winner === 'plan' ? 'planKlNats' : 'presetKlNats'].value);
  if (measured !== undefined) return `${inWords(measured)}, measured on the search text`;
  if (predicted.klNats !== null && predicted.evidence === 'estimated')
    return `${inWords(predicted.klNats)}, by the sum of the prices, which falls short at so few bits`;
  return 'what it loses is not known before the file is measured';
}

function inWords(nats: number): string {
  return `a loss of ${formatNats(nats)} nats per token`;
}
