/**
 * @file The search of llama.cpp's open proposal: every tensor goes along the convex hull of its candidates, the step that saves most a
 * byte first, for as long as steps fit. It is Lagrangian relaxation with what is left spent greedily, where our solver is exact.
 */
import type { Candidate, Choice, StorageType } from '@bitsmith/core';

/** A step along the convex hull of a tensor's candidates. */
interface Step {
  readonly choice: number;
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
  readonly savedPerByte: number;
}

/**
 * From the smallest candidates up, by price saved a byte; steps that no longer fit are passed over, and so are those of the same
 * tensor behind them.
 */
export function hullPlan(choices: readonly Choice[], dataBytes: number): ReadonlyMap<string, StorageType> {
  const hulls = choices.map(convexHull);
  const steps = hulls
    .flatMap((hull, choice) =>
      hull.slice(1).map(({ bytes, klNats }, from): Step => {
        const more = bytes - hull[from].bytes;
        const savedPerByte = (hull[from].klNats - klNats) / more;
        return { choice, from, to: from + 1, bytes: more, savedPerByte };
      }),
    )
    .toSorted((a, b) => b.savedPerByte - a.savedPerByte);
  const at = hulls.map(() => 0);
  let left = dataBytes - hulls.reduce((sum, [smallest]) => sum + smallest.bytes, 0);
  for (const { choice, from, to, bytes } of steps) {
    if (at[choice] !== from || bytes > left) continue;
    at[choice] = to;
    left -= bytes;
  }
  return new Map(
    choices.map(({ tensor }, choice) => [tensor, hulls[choice][at[choice]].scheme as StorageType]),
  );
}

/** Bytes ascending, prices and the slope between neighbours falling. */
function convexHull({ candidates: all }: Choice): Candidate[] {
  const hull: Candidate[] = [];
  for (const next of all.toSorted((a, b) => a.bytes - b.bytes || a.klNats - b.klNats)) {
    if (hull.length > 0 && next.klNats >= hull[hull.length - 1].klNats) continue;
    while (hull.length >= 2 && !bends(hull[hull.length - 2], hull[hull.length - 1], next)) hull.pop();
    hull.push(next);
  }
  return hull;
}

/** Whether the middle candidate lies below the line between the others. */
function bends(a: Candidate, middle: Candidate, b: Candidate): boolean {
  return (
    (a.klNats - middle.klNats) * (b.bytes - middle.bytes) >
    (middle.klNats - b.klNats) * (middle.bytes - a.bytes)
  );
}
