/** @file How a plan's prices are measured: by gradients where the model has a graph of them and memory allows, else by probes. */
import { BitsmithError } from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import { defaultSamples } from '../measure/gradients/gradients.js';
import { measureByGradient } from '../measure/measure-gradient.js';
import { type GroupSelector, measure } from '../measure/measure.js';
import type { Wanted } from '../measure/wanted.js';
import type { SourceModel } from '../model/types.js';
import { parseSize } from '../plan/budget.js';
import type { TensorMeasurement } from '../plan/price.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import { spreadChunks, spreadSamples, type TokenizedText } from '../text/tokenize.js';
import { hasGraph } from '../transformer/shape.js';

/**
 * `gradient`: squared gradients of whole sequences. `probe`: one true loss a tensor, for any architecture. `rules`: names and
 * depth alone, without a measurement.
 */
export type PricingMethod = 'gradient' | 'probe' | 'rules';

const pricingMethods: readonly PricingMethod[] = ['gradient', 'probe', 'rules'];

export interface PricingOptions {
  /** Default: gradients where they can be measured. */
  readonly method?: PricingMethod;
  /** Sequences that gradients are taken of; default 16. */
  readonly samples?: number;
  /** Tokens each tensor's probe is measured on, at most, where prices come from probes. */
  readonly probeTokens?: number;
  /** Memory that measuring gradients may take, for example `2GB`; default: the machine's. */
  readonly workMemory?: string | number;
}

/** A model's prices can then still be measured another way. */
const insteadProbes: ReadonlySet<string> = new Set(['GRAPH_UNSUPPORTED', 'MEMORY_LIMIT']);

/** @throws BitsmithError `METHOD_UNKNOWN`, `SAMPLES_INVALID`, `BUDGET_MALFORMED` for a size that is none */
export function refuseBadPricing({ method, workMemory, samples }: PricingOptions): void {
  if (workMemory !== undefined) parseSize(workMemory, '--work-memory');
  if (samples !== undefined && !(Number.isInteger(samples) && samples >= 1)) {
    throw new BitsmithError(
      'arguments',
      'SAMPLES_INVALID',
      `expected a whole number of samples of at least 1, found ${samples}`,
    );
  }
  if (method === undefined || pricingMethods.includes(method)) return;
  throw new BitsmithError(
    'arguments',
    'METHOD_UNKNOWN',
    `expected ${pricingMethods.join(' or ')} as the way to price a plan, found '${String(method)}'`,
  );
}

/** A probe's standard error is then about 3 %: plans change little below that. */
export const DEFAULT_PROBE_TOKENS = 2048;

/** Prices, with the chunks of the search text that they were measured on. */
export interface Pricing {
  readonly measured: readonly TensorMeasurement[];
  readonly text: TokenizedText;
}

/**
 * Measures what `wanted` costs on the search text: text that models have seen in training, as calibration texts may be, is
 * less surprising, and losses on it are smaller. A way that the user named is taken or fails; without one, probes stand in for
 * gradients.
 */
export async function* priceTensors(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  search: TokenizedText,
  wanted: readonly Wanted[],
  options: PricingOptions,
  select: GroupSelector,
): Work<Pricing> {
  const probe = async function* (): Work<Pricing> {
    const text = spreadChunks(search, options.probeTokens ?? DEFAULT_PROBE_TOKENS);
    return { text, measured: yield* measure(run, model, calibration, text, wanted, select) };
  };
  if (options.method === 'probe' || (options.method === undefined && !hasGraph(model))) return yield* probe();
  const memoryBytes =
    options.workMemory === undefined ? undefined : parseSize(options.workMemory, '--work-memory');
  const samples = options.samples ?? defaultSamples(search);
  try {
    const text = spreadSamples(search, samples);
    const gradient = { samples, memoryBytes };
    return {
      text,
      measured: yield* measureByGradient(run, model, calibration, search, wanted, gradient, select),
    };
  } catch (error) {
    const open = options.method === undefined && options.samples === undefined;
    if (!open || !(error instanceof BitsmithError) || !insteadProbes.has(error.code)) throw error;
    yield { type: 'note', level: 'info', message: `Probes instead of gradients: ${error.message}` };
    return yield* probe();
  }
}
