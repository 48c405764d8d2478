/**
 * @file Protection of single weights that matter alone. No container here can carry a few weights beside the others, so the tensors
 * that hold them are what can be protected: with so many bits, or by a step up. Which tensors those are, and what it costs them.
 */
import { BitsmithError } from '@bitsmith/formats';
import { findScheme } from './schemes.js';
import type { Candidate, Choice, PlannedTensor } from './types.js';

export interface ProtectionOptions {
  /** Tensors that hold super weights, or many of the most important weights, get more bits where that pays. */
  readonly protectSuperWeights?: boolean;
  /** Share of all weights that count as the most important; default 0.0001, at most 0.01. */
  readonly coverage?: number;
  /** Bits that protected tensors get at the most of what is tried: 8 (the default) or 16; a step up alone is tried, too. */
  readonly protectBits?: number;
}

const DEFAULT_BITS = 8;

/** @throws BitsmithError `PROTECT_BITS_INVALID`, `PROTECTION_MISSING` */
export function parseProtection(options: ProtectionOptions): { readonly bits: number } | null {
  const { protectSuperWeights, coverage, protectBits = DEFAULT_BITS } = options;
  if (protectSuperWeights !== true) {
    if (coverage === undefined && options.protectBits === undefined) return null;
    const flag = coverage === undefined ? `--protect-bits ${protectBits}` : `--coverage ${coverage}`;
    throw new BitsmithError(
      'arguments',
      'PROTECTION_MISSING',
      `${flag}: expected --protect-super-weights beside it`,
      { suggestion: `Give --protect-super-weights, too, or leave out ${flag}.` },
    );
  }
  if (protectBits === 8 || protectBits === 16) return { bits: protectBits };
  throw new BitsmithError(
    'arguments',
    'PROTECT_BITS_INVALID',
    `expected 8 or 16 bits for protected weights, found ${protectBits}`,
    { expected: '8 or 16', found: String(protectBits), suggestion: 'Write --protect-bits 8.' },
  );
}

/** What a tensor holds. */
export interface HeldWeights {
  /** Super weights, by spikes of activations. */
  readonly spikes: number;
  /** Of the most important weights of the model. */
  readonly important: number;
}

/** A tensor that may be protected, and a way to do so. */
export interface Protectable extends HeldWeights {
  readonly tensor: string;
  /** What the plan has it in, and what protection would. */
  readonly scheme: string;
  readonly protectedScheme: string;
  /** Bytes more, and what the prices say that this saves, in nats per token. */
  readonly bytes: number;
  readonly pricedNats: number;
}

/** More are not worth a measurement: they hold the fewest of the weights. */
const MOST_TENSORS = 8;

/**
 * The plan's tensors that hold such weights in fewer bits, those with super weights first, then by the share of their weights. Each
 * in what has so many bits, and in the plan's own next step up, where that takes fewer bytes.
 * @param elements of every tensor
 */
export function protectable(
  choices: readonly Choice[],
  plan: readonly PlannedTensor[],
  bits: number,
  held: ReadonlyMap<string, HeldWeights>,
  elements: ReadonlyMap<string, number>,
): readonly Protectable[] {
  const density = ({ tensor, important }: Protectable): number => important / (elements.get(tensor) ?? 1);
  return plan
    .map((line): Protectable[] => {
      const holds = held.get(line.tensor);
      const choice = choices.find(({ tensor }) => tensor === line.tensor);
      if (holds === undefined || choice === undefined || choice.constraint !== null) return [];
      return targetsOf(choice, line, bits).map((target): Protectable => ({
        tensor: line.tensor,
        scheme: line.scheme,
        protectedScheme: target.scheme,
        bytes: target.bytes - line.bytes,
        pricedNats: (line.klNats ?? 0) - target.klNats,
        ...holds,
      }));
    })
    .filter((ways) => ways.length > 0)
    .toSorted(([a], [b]) => b.spikes - a.spikes || density(b) - density(a))
    .slice(0, MOST_TENSORS)
    .flat();
}

/** What a tensor would be protected in: nothing where it has so many bits already. */
function targetsOf({ candidates }: Choice, line: PlannedTensor, bits: number): readonly Candidate[] {
  if (codeBits(line.scheme) >= bits) return [];
  const full = candidates
    .filter(({ scheme }) => codeBits(scheme) >= bits)
    .toSorted((a, b) => a.bytes - b.bytes)[0];
  if (full === undefined) return [];
  const step = candidates.find(({ scheme }) => scheme === line.up?.scheme);
  return step === undefined || step.bytes >= full.bytes ? [full] : [full, step];
}

/** The choices with nothing below their protection for these tensors. */
export function withProtected(
  choices: readonly Choice[],
  tensors: readonly Protectable[],
): readonly Choice[] {
  const protections = new Map(tensors.map((each) => [each.tensor, each]));
  return choices.map((choice) => {
    const found = protections.get(choice.tensor);
    const least = choice.candidates.find(({ scheme }) => scheme === found?.protectedScheme);
    if (found === undefined || least === undefined) return choice;
    const limits = [...(choice.limits ?? []), { kind: 'floor', note: noteOf(found) } as const];
    return { ...choice, candidates: choice.candidates.filter(({ bytes }) => bytes >= least.bytes), limits };
  });
}

function noteOf({ spikes, important, protectedScheme }: Protectable): string {
  const held = [
    ...(spikes > 0 ? [`${spikes} super weight${spikes === 1 ? '' : 's'}`] : []),
    ...(important > 0 ? [`${important} of the most important weights`] : []),
  ];
  return `protected, nothing below ${protectedScheme}: it holds ${held.join(' and ')}`;
}

function codeBits(scheme: string): number {
  return findScheme(scheme)?.bits ?? 0;
}
