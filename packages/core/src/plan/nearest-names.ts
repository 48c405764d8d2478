/** @file Finds what a mistyped name was probably meant to be (edit distance of Levenshtein, letters in any case). */

const MOST_SUGGESTIONS = 3;

/** The nearest of `names`, best first; ties keep the order of `names`. Nothing when none comes near. */
export function nearestNames(typed: string, names: readonly string[]): readonly string[] {
  const wanted = fold(typed);
  const furthest = Math.max(2, Math.ceil(wanted.length / 2));
  return names
    .map((name) => ({ name, distance: editDistance(wanted, fold(name)) }))
    .filter(({ distance }) => distance <= furthest)
    .toSorted((a, b) => a.distance - b.distance)
    .slice(0, MOST_SUGGESTIONS)
    .map(({ name }) => name);
}

/** As a hint begins; empty where nothing comes near. */
export function didYouMean(near: readonly string[]): string {
  return near.length === 0 ? '' : `Did you mean ${near.join(' or ')}? `;
}

/** Separators are the usual slip: `q4k`, `Q4-K` and `Q4_K` are meant alike. */
function fold(name: string): string {
  return name.toUpperCase().replaceAll(/[\s_-]/g, '');
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = previous[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1);
      current.push(Math.min(substitution, previous[j] + 1, current[j - 1] + 1));
    }
    previous = current;
  }
  return previous[b.length];
}
