/**
 * @file The embedding's price in the scheme that a plan gives it is a true loss. What goes wrong in a row that is looked up goes wrong in
 * every block behind it: no other tensor's loss is so far from its price where a scheme is crude (fourfold in one bit and a quarter),
 * and no other single choice moves a plan so much. A plan that is solved for says which scheme matters; its true loss is
 * measured and takes the price's place, until plans use none that was not measured.
 */
import type { ModelTensor } from '../model/types.js';
import type { Candidate } from '../plan/types.js';
import type { TensorMeasurement } from '../plan/price.js';
import type { StorageType } from '../plan/schemes.js';
import { formatNats } from '../plan/units.js';
import type { Work } from '../run/events.js';
import { stage } from '../run/work.js';
import { gatherVariants, type LiveMeasurement } from './live/variants.js';

/** What plans would store the embedding as, by what is known. */
export type UsedSchemes = (measured: readonly TensorMeasurement[]) => readonly Candidate[];

/** Each asks for a scheme that was not measured: there are not more of them. */
const MOST_ROUNDS = 12;

/** @param embedding one of the tensors measured */
export async function* settleEmbedding(
  live: LiveMeasurement,
  embedding: ModelTensor,
  begun: readonly TensorMeasurement[],
  usedBy: UsedSchemes,
): Work<readonly TensorMeasurement[]> {
  const settled = new Set<string>([embedding.type]);
  const openIn = (measured: readonly TensorMeasurement[]): Candidate[] => {
    const byScheme = new Map(usedBy(measured).map((candidate) => [candidate.scheme, candidate]));
    return [...byScheme.values()].filter(({ scheme, klNats }) => !settled.has(scheme) && klNats > 0);
  };
  if (openIn(begun).length === 0) return begun;
  return yield* stage(
    'measure',
    `the embedding as plans would store it, on ${live.text.name}`,
    async function* () {
      let measured = begun;
      let cached = true;
      const found: Settled[] = [];
      for (let round = 0; round < MOST_ROUNDS; round++) {
        const open = openIn(measured);
        if (open.length === 0) break;
        const variants = open.map(({ scheme }) => ({
          id: scheme,
          changes: [
            { tensor: embedding.name, change: { kind: 'scheme', scheme: scheme as StorageType } as const },
          ],
        }));
        const losses = yield* gatherVariants(live, variants, 'the embedding');
        cached &&= losses.cached;
        const factors = new Map<string, number>();
        for (const [index, { scheme, klNats }] of open.entries()) {
          settled.add(scheme);
          const loss = losses.values[index].klNats;
          if (loss > 0) factors.set(scheme, loss / klNats);
          found.push({ scheme, priced: klNats, klNats: loss });
        }
        measured = measured.map((each) =>
          each.tensor.name === embedding.name ? { ...each, errors: scaled(each.errors, factors) } : each,
        );
      }
      return { result: measured, summary: describe(found), cached };
    },
  );
}

interface Settled {
  readonly scheme: string;
  readonly priced: number;
  readonly klNats: number;
}

/** Those farthest from their prices, by name. */
function describe(found: readonly Settled[]): string {
  const distance = ({ priced, klNats }: Settled): number => Math.abs(Math.log(klNats / priced));
  const [worst] = found.toSorted((a, b) => distance(b) - distance(a));
  const told = `${worst.scheme} ${formatNats(worst.klNats)} nats, priced ${formatNats(worst.priced)}`;
  return found.length === 1 ? `embedding in ${told}` : `embedding in ${found.length} schemes; ${told}`;
}

function scaled(
  errors: ReadonlyMap<string, number>,
  factors: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  return new Map([...errors].map(([scheme, error]) => [scheme, error * (factors.get(scheme) ?? 1)]));
}
