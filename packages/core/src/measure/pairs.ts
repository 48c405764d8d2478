/** @file Pairs of tensor and scheme: what prices and errors are measured of, each an artifact of its own. */
import type { SchemeId } from '../plan/schemes.js';
import type { Wanted } from './wanted.js';

export interface Pair {
  readonly tensor: string;
  readonly scheme: SchemeId;
}

/** All pairs, tensor by tensor. */
export function pairsOf(wanted: readonly Wanted[]): Pair[] {
  return wanted.flatMap(({ tensor, schemes }) =>
    schemes.map((scheme): Pair => ({ tensor: tensor.name, scheme })),
  );
}

/** Finds a pair again by its names. */
export function pairFinder(pairs: readonly Pair[]): (tensor: string, scheme: string) => Pair {
  const byName = new Map(pairs.map((pair) => [`${pair.tensor} ${pair.scheme}`, pair]));
  return (tensor, scheme) => byName.get(`${tensor} ${scheme}`) as Pair;
}

/** The schemes of each tensor, as engine tasks take them. */
export function byTensor(pairs: readonly Pair[]): { name: string; schemes: readonly SchemeId[] }[] {
  const schemes = new Map<string, SchemeId[]>();
  for (const { tensor, scheme } of pairs) schemes.set(tensor, [...(schemes.get(tensor) ?? []), scheme]);
  return [...schemes].map(([name, members]) => ({ name, schemes: members }));
}
