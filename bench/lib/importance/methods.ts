/** @file Every method's estimates of every pair. */
import {
  measure,
  type MethodInput,
  methodTable,
  priceOptions,
  type SchemeId,
  type Score,
  scoresOf,
  storedBytes,
  type TensorOptions,
  type Wanted,
  type Work,
  type Method,
} from '@bitsmith/core';
import { say } from '../report.js';
import type { Estimate } from './estimates.js';
import { idOf, type Pair } from './ladder.js';
import type { Setting } from './setting.js';

/** Besides the product's methods: weight errors, scaled by one true loss a tensor ... */
const PROBE = 'probe';
/** ... and gradients on the calibration text, which a model may know from its training. */
const OTHER_TEXT = 'gradient on calibration text';

/** Names of all that can be asked for. */
export function methodNames(): string[] {
  return [...Object.keys(methodTable), OTHER_TEXT, PROBE];
}

export interface TimedEstimate extends Estimate {
  /** Of this run; next to nothing where all of it was kept from an earlier one. */
  readonly seconds: number;
}

/**
 * Runs methods by name.
 * @param samples sequences that gradients are taken of
 * @throws Error for a name that there is not
 */
export async function* estimateAll(
  on: Setting,
  pairs: readonly Pair[],
  names: readonly string[],
  samples: number,
): Work<TimedEstimate[]> {
  const unknown = names.find((name) => !methodNames().includes(name));
  if (unknown !== undefined) throw new Error(`expected ${methodNames().join(', ')}, found ${unknown}`);
  const input: MethodInput = {
    run: on.run,
    model: on.model,
    calibration: on.calibration,
    text: on.texts.live,
    gradientText: on.texts.search,
    samples,
    wanted: wantedOf(pairs),
    chosenSchemes: true,
  };
  const estimates: TimedEstimate[] = [];
  for (const name of names) {
    say(`  ${name} ...`);
    const start = performance.now();
    const estimate = yield* estimateOf(name, on, input, pairs);
    estimates.push({ ...estimate, seconds: (performance.now() - start) / 1000 });
  }
  return estimates;
}

async function* estimateOf(
  name: string,
  on: Setting,
  input: MethodInput,
  pairs: readonly Pair[],
): Work<Estimate> {
  if (name === PROBE) return yield* probeEstimate(on, pairs);
  if (name !== OTHER_TEXT) return yield* methodEstimate(name as Method, input, pairs);
  const found = yield* methodEstimate('gradient', { ...input, gradientText: on.texts.calibration }, pairs);
  return { ...found, method: name };
}

async function* methodEstimate(method: Method, input: MethodInput, pairs: readonly Pair[]): Work<Estimate> {
  const { scores } = yield* scoresOf(method, input);
  const bySchemes = new Map(scores.map((score) => [idOf(score.tensor, String(score.scheme)), score]));
  const inNats = scores.every(({ unit }) => unit === 'nats/token');
  const values = new Map<string, number>();
  if (pairs.every(({ id }) => bySchemes.has(id))) {
    for (const { id } of pairs) values.set(id, (bySchemes.get(id) as Score).value);
    return { method, inNats, knowsSchemes: true, values };
  }
  const byTensor = new Map(scores.map((score) => [score.tensor, score.value]));
  for (const { id, tensor } of pairs) {
    const value = byTensor.get(tensor.name);
    if (value !== undefined) values.set(id, value);
  }
  return { method, inNats: false, knowsSchemes: false, values };
}

async function* probeEstimate(on: Setting, pairs: readonly Pair[]): Work<Estimate> {
  const wanted = wantedOf(pairs);
  const measured = yield* measure(on.run, on.model, on.calibration, on.texts.live, wanted);
  const options = wanted.map(({ tensor, schemes }): TensorOptions => ({
    tensor,
    options: schemes.map((scheme) => ({ scheme, bytes: storedBytes(scheme, tensor.shape) })),
    constraint: null,
  }));
  const values = new Map<string, number>();
  for (const { tensor, candidates } of priceOptions(options, measured)) {
    for (const { scheme, klNats } of candidates) values.set(idOf(tensor, scheme), klNats);
  }
  return { method: PROBE, inNats: true, knowsSchemes: true, values };
}

/** The pairs, tensor by tensor. */
function wantedOf(pairs: readonly Pair[]): Wanted[] {
  const byTensor = new Map<string, { tensor: Pair['tensor']; schemes: SchemeId[] }>();
  for (const { tensor, scheme } of pairs) {
    const known = byTensor.get(tensor.name);
    if (known === undefined) byTensor.set(tensor.name, { tensor, schemes: [scheme] });
    else known.schemes.push(scheme);
  }
  return [...byTensor.values()];
}
