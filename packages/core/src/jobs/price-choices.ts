/** @file What a plan's choices are priced in: everything quick, and slow groups of schemes where some plan could use them. */
import type { Calibration } from '../calibrate/calibrate.js';
import type { ModelTensor } from '../model/types.js';
import { membersOf, type SchemeGroup } from '../measure/errors/scheme-groups.js';
import { probeText } from '../measure/gradients/probed-prices.js';
import { roomForEncoded } from '../encode/room-for-encoded.js';
import { settleEmbedding } from '../measure/settle-embedding.js';
import type { Wanted } from '../measure/wanted.js';
import { storedBytes } from '../plan/bytes.js';
import { type CouplingGroup, expandPicked, mergeCoupled } from '../plan/coupling.js';
import type { StorageOption, TensorOptions } from '../plan/options.js';
import { priceOptions, type TensorMeasurement } from '../plan/price.js';
import { nextSizes } from '../plan/reasons.js';
import type { SchemeId } from '../plan/schemes.js';
import { solve } from '../plan/solve.js';
import type { Candidate, Choice } from '../plan/types.js';
import { type OpenCandidate, worthMeasuring } from '../plan/worth-measuring.js';
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { TokenizedText } from '../text/tokenize.js';
import type { Frame } from './plan-frame.js';
import { priceTensors, type Pricing, type PricingOptions } from './pricing.js';

export interface PriceRequest {
  readonly calibration: Calibration;
  readonly search: TokenizedText;
  /** Bytes of data that plans may have, by what is priced so far: what slow schemes could save is judged there. */
  readonly sizesOf: (known: readonly Choice[]) => readonly number[];
  /** Tensors and schemes that are priced in any case. */
  readonly always?: (candidate: OpenCandidate) => boolean;
}

export async function* priceChoices(
  run: RunContext,
  { model, storage, groups }: Pick<Frame, 'model' | 'storage' | 'groups'>,
  { calibration, search, sizesOf, always = () => false }: PriceRequest,
  options: PricingOptions,
): Work<Pricing> {
  const wanted = wantedOf(storage);
  const select = (known: readonly TensorMeasurement[], group: SchemeGroup): ReadonlySet<string> => {
    const choices = priceOptions(storage, known);
    const open = openCandidates(group, wanted, choices);
    const worth = sizesOf(choices).flatMap((bytes) => [...worthMeasuring(choices, open, bytes, groups)]);
    return new Set([...worth, ...open.filter(always).map(({ tensor }) => tensor)]);
  };
  const pricing = yield* priceTensors(run, model, calibration, search, wanted, options, select);
  const embedding = wanted.find(({ tensor, schemes }) => tensor.role === 'embedding' && schemes.length > 1);
  if (embedding === undefined) return pricing;
  const { tensor } = embedding;
  const usedBy = (measured: readonly TensorMeasurement[]): readonly Candidate[] => {
    const choices = priceOptions(storage, measured);
    return sizesOf(choices).flatMap((bytes) => candidateAt(tensor.name, choices, groups, bytes));
  };
  const text = probeText(search);
  const live = { run, model, calibration, text, encodedCacheBytes: roomForEncoded() };
  return { ...pricing, measured: yield* settleEmbedding(live, tensor, pricing.measured, usedBy) };
}

/** What the best plan of these bytes stores a tensor as. */
function candidateAt(
  tensor: string,
  choices: readonly Choice[],
  groups: readonly CouplingGroup[],
  bytes: number,
): Candidate {
  const merged = mergeCoupled(choices, groups);
  const picked = expandPicked(choices, merged, solve(merged, bytes).picked);
  const place = choices.findIndex((choice) => choice.tensor === tensor);
  return choices[place].candidates[picked[place]];
}

/** Sizes priced beside what a tensor is locked to, up and down: one scheme may be no better than a smaller one. */
const SIZES_BESIDE = 3;

/** Everything that has a choice, and what was locked: what it is locked to, and the next sizes beside that. */
export function wantedOf(storage: readonly TensorOptions[]): Wanted[] {
  return storage
    .map(({ tensor, options, beside = [] }): Wanted => {
      const { up, down } = nextSizes(beside, options[0].bytes, SIZES_BESIDE);
      return { tensor, schemes: schemesIn(options, tensor), beside: schemesIn([...up, ...down], tensor) };
    })
    .filter(({ schemes, beside = [] }) => schemes.length + beside.length > 0);
}

/** Those that are not how the tensor is stored. */
function schemesIn(options: readonly StorageOption[], { type }: ModelTensor): SchemeId[] {
  return options.map(({ scheme }) => scheme).filter((scheme): scheme is SchemeId => scheme !== type);
}

/** The group's members as candidates that are not priced yet, with the bound that the group names. */
function openCandidates(
  group: SchemeGroup,
  wanted: readonly Wanted[],
  choices: readonly Choice[],
): OpenCandidate[] {
  const priced = new Map(choices.map(({ tensor, candidates }) => [tensor, candidates]));
  return wanted.flatMap(({ tensor, schemes }) => {
    if (schemes.length === 1) return [];
    const bound = priced.get(tensor.name)?.find(({ scheme }) => scheme === group.bound);
    return membersOf(group, schemes).map((scheme) => ({
      tensor: tensor.name,
      scheme,
      bytes: storedBytes(scheme, tensor.shape),
      leastNats: bound?.klNats ?? 0,
    }));
  });
}
