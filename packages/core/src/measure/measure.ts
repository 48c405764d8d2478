/**
 * @file What every (tensor, scheme) costs, in nats per token. The weight error of each scheme is measured on a sample of
 * rows; one probe a tensor, its true KL when it alone is quantized in the live model, turns errors into prices. Error alone
 * must not be the price: tensors differ by orders of magnitude in what an error of theirs does to the output.
 */
import type { Calibration } from '../calibrate/calibrate.js';
import type { ModelTensor, SourceModel } from '../model/types.js';
import type { TensorMeasurement } from '../plan/price.js';
import type { SchemeId } from '../plan/schemes.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent, Work } from '../run/events.js';
import { stage } from '../run/work.js';
import type { TokenizedText } from '../text/tokenize.js';
import type { Change, Variant } from './live/change.js';
import type { Gathered } from '../run/gather.js';
import { probeScheme } from './errors/probe-scheme.js';
import { membersOf, type SchemeGroup, schemeGroups } from './errors/scheme-groups.js';
import { gatherVariants } from './live/variants.js';
import type { Wanted } from './wanted.js';
import { weightErrors } from './errors/weight-errors.js';

/** A tensor's true loss at one scheme. */
export interface Probe {
  readonly scheme: SchemeId;
  readonly klNats: number;
  readonly standardError: number;
}

/** Everything measured about one tensor. */
export interface MeasuredTensor {
  readonly tensor: ModelTensor;
  /** Importance-weighted squared error of each scheme. */
  readonly errors: ReadonlyMap<string, number>;
  readonly probe: Probe;
}

/** Says for which tensors a group of schemes is worth measuring, by name, from what is known so far. */
export type GroupSelector = (known: readonly TensorMeasurement[], group: SchemeGroup) => ReadonlySet<string>;

/**
 * Measures errors and probes of all tensors; what is in the store is not measured again.
 * @param select leaves out slow groups of schemes where they cannot matter; without it everything is measured
 */
export async function* measure(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  text: TokenizedText,
  wanted: readonly Wanted[],
  select?: GroupSelector,
): Work<readonly MeasuredTensor[]> {
  return yield* stage('measure', `the price of every tensor on ${text.name}`, async function* () {
    const tensors = wanted.map(({ tensor }) => tensor);
    const [first] = schemeGroups;
    const errors = yield* measureErrors(
      run,
      model,
      calibration,
      wanted.map((item) => withProbe(firstOf(item, first))),
    );
    const probes = yield* measureProbes(run, model, calibration, text, tensors);
    const begun = tensors.map((tensor, index): MeasuredTensor => ({
      tensor,
      errors: errors.values[index],
      probe: probes.values[index],
    }));
    const later = yield* measureLater(begun, wanted, select, (open) =>
      measureErrors(run, model, calibration, open),
    );
    const measured = later.values;
    const cached = errors.cached && probes.cached && later.cached;
    const prices = measured.reduce((sum, item) => sum + item.errors.size, 0);
    const positions = text.chunks.length * text.contextTokens;
    const summary = `${tensors.length} probes of ${positions.toLocaleString('en')} tokens, ${prices.toLocaleString('en')} prices`;
    return { result: measured, summary, cached };
  });
}

/** The slow groups of schemes, where they can matter by what is known. */
export async function* measureLater<Measured extends TensorMeasurement>(
  begun: readonly Measured[],
  wanted: readonly Wanted[],
  select: GroupSelector | undefined,
  errorsOf: (
    open: readonly Wanted[],
  ) => AsyncGenerator<RunEvent, Gathered<ReadonlyMap<string, number>>, void>,
): AsyncGenerator<RunEvent, Gathered<Measured>, void> {
  let measured = begun;
  let cached = true;
  for (const group of schemeGroups.slice(1)) {
    const worth = select?.(measured, group);
    const open = wanted
      .filter(({ tensor, schemes }) => schemes.length > 1 && (worth === undefined || worth.has(tensor.name)))
      .map(({ tensor, schemes }) => ({ tensor, schemes: membersOf(group, schemes) }))
      .filter(({ schemes }) => schemes.length > 0);
    const more = yield* errorsOf(open);
    const added = new Map(open.map(({ tensor }, index) => [tensor.name, more.values[index]]));
    measured = measured.map((item) => ({
      ...item,
      errors: new Map([...item.errors, ...(added.get(item.tensor.name) ?? [])]),
    }));
    cached &&= more.cached;
  }
  return { values: measured, cached };
}

/** The first things to measure: all quick schemes, and where there is no choice the only one with what stands beside it. */
export function firstOf({ tensor, schemes, beside = [] }: Wanted, group: SchemeGroup): Wanted {
  const first = schemes.length === 1 ? schemes : membersOf(group, schemes);
  return { tensor, schemes: [...first, ...beside] };
}

/** Its error turns the others' into nats. */
function withProbe({ tensor, schemes }: Wanted): Wanted {
  return { tensor, schemes: [...new Set([...schemes, probeScheme(tensor)])] };
}

async function* measureErrors(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  wanted: readonly Wanted[],
): AsyncGenerator<RunEvent, Gathered<ReadonlyMap<string, number>>, void> {
  const { values, cached } = yield* weightErrors(run, model, calibration, wanted);
  return { cached, values: values.map(({ weighted }) => weighted) };
}

async function* measureProbes(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  text: TokenizedText,
  tensors: readonly ModelTensor[],
): AsyncGenerator<RunEvent, Gathered<Probe>, void> {
  const schemes = tensors.map((tensor) => probeScheme(tensor));
  const variants = tensors.map(({ name }, index): Variant => {
    const change: Change = { kind: 'scheme', scheme: schemes[index] };
    return { id: name, changes: [{ tensor: name, change }] };
  });
  const label = 'probes in the live model';
  const { values, cached } = yield* gatherVariants({ run, model, calibration, text }, variants, label);
  const probes = values.map(({ klNats, standardError }, index) => ({
    scheme: schemes[index],
    klNats,
    standardError,
  }));
  return { values: probes, cached };
}
