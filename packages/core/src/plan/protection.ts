/**
 * @file Protection of single weights that matter alone. No container here can carry a few weights beside the others, so the tensors
 * that hold them are what can be protected: they get nothing below so many bits. Which tensors those are, and what it costs them.
 */
import { BitsmithError } from '@bitsmith/formats';
import { findScheme } from './schemes.js';
import type { Candidate, Choice, PlannedTensor } from './types.js';

export interface ProtectionOptions {
  /** Tensors that hold super weights, or many of the most important weights, get more bits where that pays. */
  readonly protectSuperWeights?: boolean;
  /** Share of all weights that count as the most important; default 0.0001, at most 0.01. */
  readonly coverage?: number;
  /** Bits that protected tensors get at the least: 8 (the default) or 16. */
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

/** A tensor that may be protected. */
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
const MOST = 8;

/**
 * The plan's tensors that hold such weights in fewer bits, those with super weights first, then by the share of their weights.
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
    .flatMap((line): Protectable[] => {
      const holds = held.get(line.tensor);
      const choice = choices.find(({ tensor }) => tensor === line.tensor);
      if (holds === undefined || choice === undefined || choice.constraint !== null) return [];
      const target = smallest(aboveBits(choice.candidates, bits));
      if (target === undefined || codeBits(line.scheme) >= bits) return [];
      const { tensor, scheme } = line;
      const pricedNats = (line.klNats ?? 0) - target.klNats;
      const bytes = target.bytes - line.bytes;
      return [{ tensor, scheme, protectedScheme: target.scheme, bytes, pricedNats, ...holds }];
    })
    .toSorted((a, b) => b.spikes - a.spikes || density(b) - density(a))
    .slice(0, MOST);
}

/** The choices with nothing below so many bits for these tensors. */
export function withProtected(
  choices: readonly Choice[],
  tensors: readonly Protectable[],
  bits: number,
): readonly Choice[] {
  const notes = new Map(tensors.map((each) => [each.tensor, noteOf(each, bits)]));
  return choices.map((choice) => {
    const note = notes.get(choice.tensor);
    if (note === undefined) return choice;
    const limits = [...(choice.limits ?? []), { kind: 'floor', note } as const];
    return { ...choice, candidates: aboveBits(choice.candidates, bits), limits };
  });
}

function noteOf({ spikes, important }: Protectable, bits: number): string {
  const held = [
    ...(spikes > 0 ? [`${spikes} super weight${spikes === 1 ? '' : 's'}`] : []),
    ...(important > 0 ? [`${important} of the most important weights`] : []),
  ];
  return `protected with ${bits} bits: it holds ${held.join(' and ')}`;
}

function aboveBits(candidates: readonly Candidate[], bits: number): readonly Candidate[] {
  return candidates.filter(({ scheme }) => codeBits(scheme) >= bits);
}

function smallest(candidates: readonly Candidate[]): Candidate | undefined {
  return candidates.toSorted((a, b) => a.bytes - b.bytes)[0];
}

function codeBits(scheme: string): number {
  return findScheme(scheme)?.bits ?? 0;
}
