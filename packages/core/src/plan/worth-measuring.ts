/**
 * @file Which candidates could still matter. By Lagrangian duality a plan that uses a candidate costs at least the relaxed
 * bound plus the candidate's reduced cost; where that exceeds the best plan known, the candidate need not be measured.
 */
import { bytesRange } from './bytes.js';
import { type CouplingGroup, mergeCoupled, type MergedChoice } from './coupling.js';
import { pricesNear, solve } from './solve.js';
import type { Choice } from './types.js';

/** A candidate that was not measured: its bytes, and a price that it cannot be below. */
export interface OpenCandidate {
  readonly tensor: string;
  readonly scheme: string;
  readonly bytes: number;
  readonly leastNats: number;
}

/** Names of the tensors with an open candidate that an optimal plan could use. */
export function worthMeasuring(
  choices: readonly Choice[],
  open: readonly OpenCandidate[],
  capacityBytes: number,
  groups: readonly CouplingGroup[] = [],
): Set<string> {
  const merged = mergeCoupled(choices, groups);
  const [smallest] = bytesRange(merged);
  // Without the open candidates nothing fits: all of them are needed.
  if (smallest > capacityBytes) return new Set(open.map(({ tensor }) => tensor));
  const { picked, natsPerByte } = solve(merged, capacityBytes);
  // Near the plan its loss is a sum, and no plan's loss lies below that sum.
  const { choices: near, bodyWeight } = pricesNear(merged, picked);
  const leastReduced = near.map(({ candidates }) =>
    Math.min(...candidates.map((candidate) => candidate.klNats + natsPerByte * candidate.bytes)),
  );
  const known = near.reduce((sum, { candidates }, index) => sum + candidates[picked[index]].klNats, 0);
  const bound = leastReduced.reduce((sum, reduced) => sum + reduced, -natsPerByte * capacityBytes);
  const gap = known - bound;
  const candidatesOf = openOf(choices, merged, open);
  const worth = merged.flatMap(({ members, direct }, index) => {
    const weight = direct === true ? 1 : bodyWeight;
    const matters = candidatesOf[index].some(
      ({ bytes, leastNats }) => weight * leastNats + natsPerByte * bytes - leastReduced[index] < gap,
    );
    return matters ? members.map((member) => choices[member].tensor) : [];
  });
  const asked = new Set(open.map(({ tensor }) => tensor));
  return new Set(worth.filter((tensor) => asked.has(tensor)));
}

type OpenSum = Pick<OpenCandidate, 'bytes' | 'leastNats'>;

/** The open candidates of every merged choice: schemes that each member has priced or open, and one of them open. */
function openOf(
  choices: readonly Choice[],
  merged: readonly MergedChoice[],
  open: readonly OpenCandidate[],
): readonly (readonly OpenSum[])[] {
  const byTensor = new Map<string, OpenCandidate[]>();
  for (const each of open) {
    const others = byTensor.get(each.tensor);
    if (others === undefined) byTensor.set(each.tensor, [each]);
    else others.push(each);
  }
  return merged.map(({ members }) => {
    const lists = members.map((member) => byTensor.get(choices[member].tensor) ?? []);
    const schemes = new Set(lists.flatMap((list) => list.map(({ scheme }) => scheme)));
    return [...schemes].flatMap((scheme): OpenSum[] => {
      const parts = members.map((member, index): OpenSum | undefined => {
        const waiting = lists[index].find((each) => each.scheme === scheme);
        const priced = choices[member].candidates.find((each) => each.scheme === scheme);
        return waiting ?? (priced && { bytes: priced.bytes, leastNats: priced.klNats });
      });
      const known = parts.filter((part) => part !== undefined);
      if (known.length < parts.length) return [];
      return [
        {
          bytes: known.reduce((sum, { bytes }) => sum + bytes, 0),
          leastNats: known.reduce((sum, { leastNats }) => sum + leastNats, 0),
        },
      ];
    });
  });
}
