/**
 * @file Prices: what every (tensor, scheme) is expected to cost, in nats per token. A tensor's error tells how its schemes
 * compare with each other; one true loss, measured with that tensor alone quantized (the probe), turns errors into nats:
 *
 *     nats(scheme) = error(scheme) * nats(probe) / error(probe)
 *
 * Errors of different tensors are never compared. Keeping a tensor as stored costs nothing. Candidates that cost more than a
 * smaller one stay in the list for the record; the solver never takes them.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { ModelTensor } from '../model/types.js';
import type { TensorOptions } from './options.js';
import type { Candidate, Choice } from './types.js';

/** What was measured about one tensor. */
export interface TensorMeasurement {
  readonly tensor: Pick<ModelTensor, 'name' | 'role' | 'elements'>;
  /** Weighted squared error by scheme, or nats where `inNats` says so. Infinite where the scheme cannot represent the weights. */
  readonly errors: ReadonlyMap<string, number>;
  /** True where errors are expected losses already, as those from gradients are: no probe is needed. */
  readonly inNats?: boolean;
  /** The true loss of this tensor alone in one scheme; null when it was not probed. */
  readonly probe: { readonly scheme: string; readonly klNats: number } | null;
}

/** Losses below this are rounding of the measurement. A tensor that harmless is still not free. */
export const PROBE_FLOOR_NATS = 1e-9;
/** A divergence is never negative; further below zero than this, the measurement itself is wrong. */
const MOST_NEGATIVE_NATS = -1e-5;

/** Types that hold every value of a source type exactly, so that their price is zero without a measurement. */
const losslessIn: Readonly<Record<string, readonly string[]>> = { F16: ['F32'], BF16: ['F32'] };

/**
 * Prices the options of every tensor. Tensors with one option need no measurement unless a lock changes their type.
 * @throws BitsmithError kind `analysis`: `PROBE_INVALID` for a loss that is not a number or clearly negative,
 * `ERROR_INVALID` for an error that is not a number, `PRICE_MISSING` for an option that nothing was measured about.
 */
export function priceOptions(
  options: readonly TensorOptions[],
  measurements: readonly TensorMeasurement[],
): readonly Choice[] {
  const byName = new Map(measurements.map((measurement) => [measurement.tensor.name, measurement]));
  const typicalNats = typicalProbes(measurements);
  return options.map(({ tensor, options: types, constraint, limits, beside }) => {
    const measurement = byName.get(tensor.name);
    const probe = measurement === undefined ? null : reference(measurement, typicalNats);
    const candidates: Candidate[] = [];
    for (const { scheme, bytes } of types) {
      const klNats = priceOf(tensor, scheme, measurement, probe);
      if (klNats !== null) candidates.push({ scheme, bytes, klNats });
    }
    if (candidates.length === 0)
      throw priceMissing(tensor.name, types.map(({ scheme }) => scheme).join(', '));
    const direct = tensor.role === 'output-head' ? { direct: true } : {};
    const choice: Choice = { tensor: tensor.name, candidates, ...direct, constraint };
    if (beside === undefined) return limits === undefined ? choice : { ...choice, limits };
    const priceBeside = (scheme: string): number | null =>
      isLossless(tensor, scheme) || probe !== null ? priceOf(tensor, scheme, measurement, probe) : null;
    return { ...choice, beside: beside.map((option) => ({ ...option, klNats: priceBeside(option.scheme) })) };
  });
}

function isLossless({ type }: ModelTensor, scheme: string): boolean {
  return scheme === type || losslessIn[type]?.includes(scheme) === true;
}

/** An error that is known to cost so many nats. */
interface Reference {
  readonly error: number;
  readonly klNats: number;
}

/** Null when the scheme cannot represent the tensor, or was not measured while others were. */
function priceOf(
  tensor: ModelTensor,
  scheme: string,
  measurement: TensorMeasurement | undefined,
  probe: Reference | null,
): number | null {
  if (isLossless(tensor, scheme)) return 0;
  if (measurement === undefined || probe === null) throw priceMissing(tensor.name, scheme);
  const error = measurement.errors.get(scheme);
  if (error === undefined || error === Infinity) return null;
  if (!(error >= 0)) {
    throw new BitsmithError(
      'analysis',
      'ERROR_INVALID',
      `expected the error of ${tensor.name} in ${scheme} to be a number of at least 0, found ${error}`,
      {
        suggestion: 'The source may hold damaged weights: check it with bitsmith inspect.',
      },
    );
  }
  return error === 0 ? 0 : (error * probe.klNats) / probe.error;
}

/**
 * The probe as a scale from errors to nats. Where the probe moved nothing at all (the scheme happened to be exact, or the
 * model does not use the tensor on ordinary text), nothing was learnt: the tensor is then taken to be as sensitive, weight for
 * weight, as the typical one of its role.
 */
function reference(measurement: TensorMeasurement, typicalNats: TypicalNats): Reference {
  const { tensor, errors, probe, inNats } = measurement;
  if (inNats === true) return { error: 1, klNats: 1 };
  if (probe !== null && !(probe.klNats >= MOST_NEGATIVE_NATS && probe.klNats < Infinity)) {
    throw new BitsmithError(
      'analysis',
      'PROBE_INVALID',
      `expected the loss of ${tensor.name} in ${probe.scheme} to be a number of at least 0, found ${probe.klNats}`,
      { suggestion: 'The model overflows when this tensor is quantized: lock it with --lock NAME=keep.' },
    );
  }
  const error = probe === null ? undefined : errors.get(probe.scheme);
  if (probe !== null && probe.klNats !== 0 && error !== undefined && error > 0 && error < Infinity) {
    return { error, klNats: Math.max(probe.klNats, PROBE_FLOOR_NATS) };
  }
  const typical = typicalNats(tensor);
  if (probe === null && typical === null) throw priceMissing(tensor.name, 'any scheme');
  const middle = median([...errors.values()].filter((value) => value > 0 && value < Infinity));
  return { error: middle ?? 1, klNats: Math.max(typical ?? 0, PROBE_FLOOR_NATS) };
}

type TypicalNats = (tensor: TensorMeasurement['tensor']) => number | null;

/** Median loss a weight over the probed tensors of a role, or of all where the role has none; null when none is known. */
function typicalProbes(measurements: readonly TensorMeasurement[]): TypicalNats {
  const perWeight = (only: (tensor: TensorMeasurement['tensor']) => boolean): number | null =>
    median(
      measurements
        .filter(({ tensor, probe }) => probe !== null && probe.klNats > 0 && only(tensor))
        .map(({ tensor, probe }) => (probe?.klNats ?? 0) / tensor.elements),
    );
  const overall = perWeight(() => true);
  return ({ role, elements }) => {
    const rate = perWeight((tensor) => tensor.role === role) ?? overall;
    return rate === null ? null : rate * elements;
  };
}

/** The lower of the two middle values of an even number; null of nothing. */
function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted.length === 0 ? null : sorted[(sorted.length - 1) >> 1];
}

function priceMissing(tensor: string, schemes: string): BitsmithError {
  return new BitsmithError(
    'analysis',
    'PRICE_MISSING',
    `expected a measured price for ${tensor} in ${schemes}, found none`,
    {
      suggestion: 'Measure the tensor (its errors and its probe) before planning with it.',
    },
  );
}
