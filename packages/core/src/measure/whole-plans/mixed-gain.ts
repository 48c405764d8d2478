/**
 * @file What mixed precision can gain over one scheme for all tensors, at equal bytes: a plan solved from the prices, and the
 * uniform plan priced alike. It tells a user whether a plan can pay before one is made.
 */
import type { TensorOptions } from '../../plan/options.js';
import { solve } from '../../plan/solve.js';
import type { Candidate, Choice } from '../../plan/types.js';

export interface MixedGain {
  /** The scheme of every tensor of the uniform plan that can have it; the others are kept as stored. */
  readonly uniformScheme: string;
  /** Stored bits of all tensors by the number of weights; the mixed plan has no more. */
  readonly bitsPerWeight: number;
  readonly uniformKlNats: number;
  readonly mixedKlNats: number;
  /** Mixed loss / uniform loss: below 1 is a gain. */
  readonly ratio: number;
}

/** About 2, 3, 4 and 6 bits: what people use for all tensors. */
const uniformSchemes = ['Q2_K', 'Q3_K', 'Q4_K', 'Q6_K'];

/** The gain at each uniform scheme that the model can have; none where every tensor is fixed. */
export function mixedGains(
  options: readonly TensorOptions[],
  choices: readonly Choice[],
  parameterCount: number,
): MixedGain[] {
  const legal = uniformSchemes.filter((scheme) =>
    options.some(({ options: types }) => types.length > 1 && types.some((type) => type.scheme === scheme)),
  );
  const gains = legal.map((scheme) => {
    const uniform = choices.map(({ candidates }) => uniformCandidate(candidates, scheme));
    const bytes = uniform.reduce((sum, candidate) => sum + candidate.bytes, 0);
    const uniformKlNats = uniform.reduce((sum, { klNats }) => sum + klNats, 0);
    const { klNats: mixedKlNats } = solve(choices, bytes);
    return {
      uniformScheme: scheme,
      bitsPerWeight: (bytes * 8) / parameterCount,
      uniformKlNats,
      mixedKlNats,
      ratio: uniformKlNats > 0 ? mixedKlNats / uniformKlNats : 1,
    };
  });
  // A scheme that changes nothing (the source has fewer bits) leaves nothing to gain.
  return gains.filter(({ uniformKlNats }) => uniformKlNats > 0);
}

/** The scheme itself, else what the tensor is stored in: it stands last. */
function uniformCandidate(candidates: readonly Candidate[], scheme: string): Candidate {
  return candidates.find((candidate) => candidate.scheme === scheme) ?? (candidates.at(-1) as Candidate);
}
