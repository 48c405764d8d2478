/** @file A site's scales: by the rule that is given, or by the one that leaves the least error of all that are tried. */
import type { Engine } from '@bitsmith/ggml';
import { inLanes } from '../../run/lanes.js';
import type { WeightArray } from '../../transformer/weights.js';
import type { InputSummary } from './input-summary.js';
import { OutputError, type EqualizedFor } from './output-error.js';
import { columnScales } from './fold.js';
import { channelScales, outlierRatio, type ScaleRule } from './scales.js';
import type { Site } from './sites.js';

/** One alpha for all, or the best of every site's own for what the model will be rounded to. */
export type EqualizeMode =
  | { readonly kind: 'alpha'; readonly alpha: number }
  | { readonly kind: 'search'; readonly rounding: EqualizedFor };

/** What became of one site. */
export interface SiteScales extends Pick<Site, 'kind' | 'block' | 'readers'> {
  /** Null where none did better than leaving the channels as they are. */
  readonly rule: ScaleRule | null;
  /** One a channel. */
  readonly scales: readonly number[];
  /** Largest channel over the median one, before and after. */
  readonly outliers: { readonly before: number; readonly after: number };
  /** Relative squared error of the outputs, before and after; null where nothing was searched. */
  readonly error: { readonly before: number; readonly after: number } | null;
}

/** Weights of a matrix that every rule is tried on, and that the best are judged by. */
const QUICK_WEIGHTS = 1 << 15;
const JUDGED_WEIGHTS = 1 << 17;
/** Rules that are judged. */
const FINALISTS = 4;
const STEPS = 10;
const grid = Array.from({ length: STEPS + 1 }, (_, step) => step / STEPS);
/** Alphas that are tried: those of AWQ from the first step on, since at 0 they leave everything as it is. */
const searchedRules: readonly ScaleRule[] = [
  ...grid.map((alpha): ScaleRule => ({ family: 'smooth', alpha })),
  ...grid.slice(1).map((alpha): ScaleRule => ({ family: 'aware', alpha })),
];

/** What scales are chosen with. */
export interface ChooseSettings {
  readonly engine: Engine;
  readonly lanes: number;
  readonly mode: EqualizeMode;
}

/** @param readers the weights of the matrices that read the input */
export async function chooseScales(
  settings: ChooseSettings,
  site: Site,
  input: InputSummary,
  readers: readonly WeightArray[],
): Promise<SiteScales> {
  const { mode } = settings;
  const sizes = input.sizes(site.channels, site.channelOf);
  const weights = largestWeights(site, readers);
  const scalesOf = (rule: ScaleRule): Float32Array => channelScales(rule, sizes, weights);
  const found =
    mode.kind === 'alpha'
      ? { rule: { family: 'smooth', alpha: mode.alpha } as const, error: null }
      : await leastError(settings, site, mode.rounding, { input, readers, scalesOf });
  const scales = found.rule === null ? new Float32Array(site.channels).fill(1) : scalesOf(found.rule);
  const after = sizes.largest.map((size, channel) => size / scales[channel]);
  return {
    kind: site.kind,
    block: site.block,
    readers: site.readers,
    ...found,
    scales: [...scales],
    outliers: { before: outlierRatio(sizes.largest), after: outlierRatio(after) },
  };
}

/** All rules on few weights, then the best of them on many: encoding is what takes the time. */
async function leastError(
  { engine, lanes }: ChooseSettings,
  site: Site,
  rounding: EqualizedFor,
  { input, readers, scalesOf }: Candidates,
): Promise<Pick<SiteScales, 'rule' | 'error'>> {
  const meanSquares = input.meanSquares();
  const errorsOf = async (rules: readonly (ScaleRule | null)[], weights: number): Promise<Tried[]> => {
    const outputs = new OutputError(engine, rounding, input.sample, meanSquares, readers, weights);
    const tried: Tried[] = [];
    await inLanes(lanes, rules.entries(), async ([index, rule]) => {
      const scales = rule === null ? new Float32Array(site.channels).fill(1) : scalesOf(rule);
      tried[index] = { rule, error: await outputs.of(columnScales(site, scales)) };
    });
    return tried;
  };
  const quick = await errorsOf(searchedRules, QUICK_WEIGHTS);
  const finalists = quick.toSorted((a, b) => a.error - b.error).slice(0, FINALISTS);
  const tried = await errorsOf([null, ...finalists.map(({ rule }) => rule)], JUDGED_WEIGHTS);
  // The first of equals: nothing is changed for nothing.
  const best = tried.reduce((least, one) => (one.error < least.error ? one : least));
  return { rule: best.rule, error: { before: tried[0].error, after: best.error } };
}

interface Candidates {
  readonly input: InputSummary;
  readonly readers: readonly WeightArray[];
  readonly scalesOf: (rule: ScaleRule) => Float32Array;
}

interface Tried {
  readonly rule: ScaleRule | null;
  readonly error: number;
}

/** max|W_j| by channel, over all that read it. */
function largestWeights({ channels, channelOf }: Site, readers: readonly WeightArray[]): Float32Array {
  const largest = new Float32Array(channels);
  for (const { shape, values } of readers) {
    const [columns] = shape;
    for (let start = 0; start < values.length; start += columns)
      for (let column = 0; column < columns; column++) {
        const channel = channelOf[column];
        const size = Math.abs(values[start + column]);
        if (size > largest[channel]) largest[channel] = size;
      }
  }
  return largest;
}
