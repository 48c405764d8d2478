/**
 * @file The pass over the whole model after a descent: the descent had leave to lose more than the user allows, and saw one block at a
 * time. Tensors go down where the bytes are still too many, cheapest first; then those go up that save most for the bytes there
 * are, each step measured, until the user's own budget holds or nothing is left to gain.
 */
import type { RunEvent } from '../../run/events.js';
import { bytesOf } from '../assignment.js';
import { type Gene, levelsAbove, levelsBelow, type SearchSpace, setLevel, standing } from '../genes.js';
import { pairedDifference, surelyLess } from '../paired.js';
import { type MeasureStates, type PathStep, type State, tensorsOf } from './descent.js';
import type { RoundingMethod } from './rounding.js';

/** Steps that are measured together: each contains the ones before. */
const BATCH = 8;

export interface GlobalInput {
  readonly space: SearchSpace;
  /** Loss that the user allows, in nats per token; null where bytes alone are the budget. */
  readonly maxKlNats: number | null;
  readonly rounding: RoundingMethod;
  readonly measure: MeasureStates;
  readonly goOn: () => boolean;
}

interface Passed {
  readonly state: State;
  readonly path: readonly PathStep[];
  /** The state that upgrades began with, and what each that counts made of it. */
  readonly upgraded: readonly State[];
  /** Of the last, as measured. */
  readonly klNats: number;
}

type Downgraded = Pick<Passed, 'state' | 'path'>;

/** Brings a descended state to the user's budget. */
export async function* globalPass(input: GlobalInput, from: State): AsyncGenerator<RunEvent, Passed, void> {
  const lower = yield* downgrade(input, from);
  const higher = yield* upgrade(input, lower.state);
  return { ...higher, path: [...lower.path, ...higher.path] };
}

/** The bytes must hold, so these steps count whatever they lose; they are measured all the same. */
async function* downgrade(input: GlobalInput, from: State): AsyncGenerator<RunEvent, Downgraded, void> {
  const { space } = input;
  const states: Move[] = [];
  for (let last: Move | null = null; ; states.push(last)) {
    const base: State = last?.state ?? from;
    if (bytesOf(space.choices, base.assignment) <= space.capacityBytes) break;
    const next = cheapestDown(input, base);
    if (next === null) break;
    last = next;
  }
  const end = states.at(-1);
  if (end === undefined) return { state: from, path: [] };
  // One step of the path: nothing is decided between the first and the last.
  const genes = new Set(states.map(({ gene }) => gene));
  const [loss] = yield* input.measure([end.state]);
  const step: PathStep = {
    ...globalStep(space, [...genes], end.state, loss, true),
    phase: 'downgrade',
    rounding: input.rounding.name,
  };
  return { state: end.state, path: [step] };
}

/** Upgrades in order of what prices promise for a byte; one that does not keep its promise is rolled back and not tried again. */
async function* upgrade(input: GlobalInput, from: State): AsyncGenerator<RunEvent, Passed, void> {
  const { space, maxKlNats } = input;
  const path: PathStep[] = [];
  const broken = new Set<Gene>();
  let state = from;
  const upgraded = [state];
  let [loss] = yield* input.measure([state]);
  const end = (): Passed => ({ state, path, upgraded, klNats: loss.klNats });
  for (;;) {
    if (maxKlNats !== null && loss.klNats <= maxKlNats) return end();
    const moves = nextUps(input, state, broken);
    if (moves.length === 0) return end();
    // Prices decide what is not measured any more; whether a limit holds they cannot tell.
    if (!input.goOn()) return maxKlNats === null ? { ...end(), state: allUps(input, state, broken) } : end();
    const losses = yield* input.measure(moves.map((move) => move.state));
    for (const [index, move] of moves.entries()) {
      const worse =
        losses[index].klNats === Infinity ||
        surelyLess(pairedDifference(loss.sequenceKlNats, losses[index].sequenceKlNats));
      path.push({
        ...globalStep(space, [move.gene], move.state, losses[index], !worse),
        rounding: input.rounding.name,
        allowedNats: maxKlNats,
      });
      if (worse) {
        // What was measured after it contains it.
        broken.add(move.gene);
        break;
      }
      state = move.state;
      upgraded.push(state);
      loss = losses[index];
      if (maxKlNats !== null && loss.klNats <= maxKlNats) break;
    }
  }
}

interface Move {
  readonly gene: Gene;
  readonly state: State;
}

function nextUps(input: GlobalInput, from: State, broken: ReadonlySet<Gene>): Move[] {
  const moves: Move[] = [];
  let state = from;
  while (moves.length < BATCH) {
    const move = bestUp(input, state, broken);
    if (move === null) break;
    moves.push(move);
    state = move.state;
  }
  return moves;
}

function allUps(input: GlobalInput, from: State, broken: ReadonlySet<Gene>): State {
  let state = from;
  for (;;) {
    const move = bestUp(input, state, broken);
    if (move === null) return state;
    state = move.state;
  }
}

/** The upgrade that fits and is priced to save most for a byte. */
function bestUp({ space, rounding }: GlobalInput, state: State, broken: ReadonlySet<Gene>): Move | null {
  const left = space.capacityBytes - bytesOf(space.choices, state.assignment);
  let best: { gene: Gene; state: State; rate: number } | null = null;
  for (const gene of space.genes) {
    if (broken.has(gene)) continue;
    const at = standing(space, gene, state.assignment);
    for (const level of levelsAbove(gene, at)) {
      if (level.bytes - at.bytes > left) break;
      const rate = (at.klNats - level.klNats) / (level.bytes - at.bytes);
      if (best === null || rate > best.rate) {
        best = { gene, rate, state: moved(space, state, gene, level, rounding) };
      }
    }
  }
  return best;
}

function cheapestDown({ space, rounding }: GlobalInput, state: State): Move | null {
  let best: { gene: Gene; state: State; rate: number } | null = null;
  for (const gene of space.genes) {
    const at = standing(space, gene, state.assignment);
    for (const level of levelsBelow(gene, at)) {
      const rate = (level.klNats - at.klNats) / (at.bytes - level.bytes);
      if (best === null || rate < best.rate)
        best = { gene, rate, state: moved(space, state, gene, level, rounding) };
    }
  }
  return best;
}

function moved(
  space: SearchSpace,
  state: State,
  gene: Gene,
  level: Gene['levels'][number],
  rounding: RoundingMethod,
): State {
  const assignment = [...state.assignment];
  setLevel(assignment, gene, level);
  const roundings = new Map(state.roundings);
  for (const member of gene.members) roundings.set(space.choices[member].tensor, rounding);
  return { assignment, roundings };
}

function globalStep(
  space: SearchSpace,
  genes: readonly Gene[],
  state: State,
  loss: { readonly klNats: number; readonly standardError: number },
  accepted: boolean,
): PathStep {
  return {
    phase: 'upgrade',
    stage: null,
    bits: null,
    tensors: tensorsOf(space, genes, state.assignment),
    rounding: '',
    outcome: accepted ? 'accepted' : 'rolled-back',
    klNats: loss.klNats,
    standardError: loss.standardError,
    allowedNats: null,
    bytes: bytesOf(space.choices, state.assignment),
  };
}
