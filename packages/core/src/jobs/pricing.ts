/** @file How a plan's prices are measured: by gradients where the model has a graph of them and memory allows, else by probes. */
import { BitsmithError } from '@bitsmith/formats';
import type { Calibration } from '../calibrate/calibrate.js';
import { hasGraph } from '../measure/gradients.js';
import { measureByGradient } from '../measure/measure-gradient.js';
import { type GroupSelector, measure } from '../measure/measure.js';
import type { Wanted } from '../measure/wanted.js';
import type { SourceModel } from '../model/types.js';
import { parseSize } from '../plan/budget.js';
import type { TensorMeasurement } from '../plan/price.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { TokenizedText } from '../text/tokenize.js';

/** `gradient`: squared gradients of whole sequences. `probe`: one true loss a tensor, for any architecture. */
export type PricingMethod = 'gradient' | 'probe';

export const pricingMethods: readonly PricingMethod[] = ['gradient', 'probe'];

export interface PricingOptions {
  /** Default: gradients where they can be measured. */
  readonly method?: PricingMethod;
  /** Sequences that gradients are taken of; default 16. */
  readonly samples?: number;
  /** Memory that measuring gradients may take, for example `2GB`; default: the machine's. */
  readonly memory?: string | number;
}

/** A model's prices can then still be measured another way. */
const insteadProbes: ReadonlySet<string> = new Set(['GRAPH_UNSUPPORTED', 'MEMORY_LIMIT', 'SAMPLES_TOO_MANY']);

/** @throws BitsmithError `METHOD_UNKNOWN`, `BUDGET_MALFORMED` for a size that is none */
export function refuseBadPricing({ method, memory }: PricingOptions): void {
  if (memory !== undefined) parseSize(memory);
  if (method === undefined || pricingMethods.includes(method)) return;
  throw new BitsmithError(
    'arguments',
    'METHOD_UNKNOWN',
    `expected ${pricingMethods.join(' or ')} as the way to price a plan, found '${String(method)}'`,
  );
}

/** Measures what `wanted` costs. A way that the user named is taken or fails; without one, probes stand in for gradients. */
export async function* priceTensors(
  run: RunContext,
  model: SourceModel,
  calibration: Calibration,
  texts: { readonly calibration: TokenizedText; readonly search: TokenizedText },
  wanted: readonly Wanted[],
  options: PricingOptions,
  select: GroupSelector,
): Work<readonly TensorMeasurement[]> {
  const probe = (): Work<readonly TensorMeasurement[]> =>
    measure(run, model, calibration, texts.search, wanted, select);
  if (options.method === 'probe' || (options.method === undefined && !hasGraph(model))) return yield* probe();
  const memoryBytes = options.memory === undefined ? undefined : parseSize(options.memory);
  const gradient = { samples: options.samples, memoryBytes };
  try {
    return yield* measureByGradient(run, model, calibration, texts.calibration, wanted, gradient, select);
  } catch (error) {
    const open = options.method === undefined && options.samples === undefined;
    if (!open || !(error instanceof BitsmithError) || !insteadProbes.has(error.code)) throw error;
    yield { type: 'note', level: 'info', message: `Probes instead of gradients: ${error.message}` };
    return yield* probe();
  }
}
