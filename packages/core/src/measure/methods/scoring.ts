/** @file The scores of all methods that were asked for, as far as they can score the model at hand. */
import { BitsmithError } from '@bitsmith/formats';
import type { SourceModel } from '../../model/types.js';
import type { RunEvent, Work } from '../../run/events.js';
import { methodWeights } from './combine.js';
import type { MethodChoice, MethodInput, ScoreSet } from './method.js';
import { methodsFor, methodsWithoutGraph, methodUnsupported, scoresOf } from './methods.js';
import type { Method } from './score.js';

export interface Scoring {
  /** In the order in which they were asked for. */
  readonly sets: readonly ScoreSet[];
  /** The weight of each method that ran. */
  readonly weights: ReadonlyMap<Method, number>;
  /** Asked for, but unable to score this model. */
  readonly left: readonly Method[];
}

/** What runs on any model, where nothing was asked for and the default does not. */
const FALLBACK: MethodChoice = { method: 'rtn', weight: null };

/**
 * Runs the methods; those that cannot score the model are left out with a warning.
 * @param isDefault where `asked` is the default, another method may take its place
 * @throws BitsmithError `METHOD_UNSUPPORTED` where none of those that were asked for can, naming those that could
 */
export async function* scoreAll(
  input: MethodInput,
  asked: readonly MethodChoice[],
  isDefault: boolean,
): Work<Scoring> {
  const { runnable, left } = methodsFor(input.model, isDefault ? [...asked, FALLBACK] : asked);
  const leftOut: Method[] = [...left];
  const sets: ScoreSet[] = [];
  for (const { method } of runnable) {
    if (isDefault && sets.length > 0) break;
    try {
      sets.push(yield* scoresOf(method, input));
    } catch (error) {
      // What a graph cannot do shows when it is built.
      if (!(error instanceof BitsmithError) || error.code !== 'GRAPH_UNSUPPORTED') throw error;
      leftOut.push(method);
      yield note(input.model, method, error.message);
    }
  }
  for (const method of isDefault ? [] : left) {
    yield note(input.model, method, `it knows no models of the family ${input.model.architecture}`);
  }
  if (sets.length === 0) throw methodUnsupported(input.model, leftOut);
  const ran = sets.map(({ method }) => method);
  const choices = isDefault ? [...asked, FALLBACK] : asked;
  return { sets, weights: methodWeights(choices, ran), left: isDefault ? [] : leftOut };
}

function note(model: SourceModel, method: Method, why: string): RunEvent {
  const others = methodsWithoutGraph(model).join(', ');
  const message = `${method} cannot score this model: ${why}. These can: ${others}.`;
  return { type: 'note', level: 'warning', message };
}
