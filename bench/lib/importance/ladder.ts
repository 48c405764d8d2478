/**
 * @file The schemes that the tables are about. Where 256 divides a row there is one of about 2, 3 and 4 bits of the same kind,
 * Q2_K, Q3_K and Q4_K; plans may also go one step below and one above. Elsewhere (rows of 576) llama.cpp has schemes of
 * 2, 4 and 5 bits and none between: Q2_0, IQ4_NL and Q5_0, and Q8_0 above.
 */
import {
  isLegalForRows,
  findScheme,
  type ModelTensor,
  quantizable,
  type SchemeId,
  type SourceModel,
} from '@bitsmith/core';

export interface Pair {
  readonly id: string;
  readonly tensor: ModelTensor;
  readonly scheme: SchemeId;
  /** The width that it is ranked within; null for schemes that only plans use. */
  readonly bits: number | null;
}

type Rung = readonly [scheme: SchemeId, bits: number | null];

const wide: readonly Rung[] = [
  ['IQ2_XXS', null],
  ['Q2_K', 2],
  ['Q3_K', 3],
  ['Q4_K', 4],
  ['Q6_K', null],
];
const narrow: readonly Rung[] = [
  ['Q2_0', 2],
  ['IQ4_NL', 4],
  ['Q5_0', 5],
  ['Q8_0', null],
];

/** Every tensor that can be quantized, in each of its schemes, cheapest first. */
export function pairsOf({ tensors }: SourceModel): Pair[] {
  return tensors
    .filter((tensor) => quantizable(tensor).allowed)
    .flatMap((tensor) =>
      rungsOf(tensor).map(([scheme, bits]) => ({ id: idOf(tensor.name, scheme), tensor, scheme, bits })),
    );
}

export function idOf(tensor: string, scheme: string): string {
  return `${tensor} ${scheme}`;
}

function rungsOf({ shape }: ModelTensor): readonly Rung[] {
  const legal = (rungs: readonly Rung[]): boolean =>
    rungs.every(([scheme]) => {
      const known = findScheme(scheme);
      return known !== undefined && isLegalForRows(known, shape[0]);
    });
  if (legal(wide)) return wide;
  if (legal(narrow)) return narrow;
  throw new Error(`expected rows that 64 divides, found ${shape[0]} weights`);
}
