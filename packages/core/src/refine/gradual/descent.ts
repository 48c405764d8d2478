/**
 * @file The descent: stage by stage down the ladder of bits, every step measured on the live model before it counts. A step is a
 * transaction: it is made on a copy, and where the loss exceeds what is granted so far the copy is dropped. Where a stage as a whole
 * fails, the longest run of its tensors that passes, from the least important on, goes down, and the others stay.
 */
import type { RunEvent } from '../../run/events.js';
import type { TrueLoss } from '../../measure/live/variants-task.js';
import type { StorageType } from '../../plan/schemes.js';
import { type Assignment, bytesOf } from '../assignment.js';
import { type Gene, type SearchSpace, setLevel, standing } from '../genes.js';
import type { RoundingMethod } from './rounding.js';
import { levelOfBits, type Stage } from './stages.js';

/** A plan on the way, with the rounding of what was rounded otherwise than plainly. */
export interface State {
  readonly assignment: Assignment;
  /** By tensor. */
  readonly roundings: ReadonlyMap<string, RoundingMethod>;
}

/** Losses of states, all on the same text, in order. */
export type MeasureStates = (
  states: readonly State[],
) => AsyncGenerator<RunEvent, readonly Pick<TrueLoss, 'klNats' | 'standardError' | 'sequenceKlNats'>[], void>;

/** What was tried, and what came of it. */
export interface PathStep {
  readonly phase: 'descent' | 'upgrade' | 'downgrade';
  /** The stage of a descent; null in the global pass. */
  readonly stage: string | null;
  /** Nominal bits that the step aims at; null in the global pass. */
  readonly bits: number | null;
  readonly tensors: Readonly<Record<string, string>>;
  readonly rounding: string;
  readonly outcome: 'accepted' | 'rolled-back';
  readonly klNats: number;
  readonly standardError: number;
  /** What the loss may be at this point, in nats per token; null where any gain counts. */
  readonly allowedNats: number | null;
  /** Of all tensors after the step, if it had been or was accepted. */
  readonly bytes: number;
}

export interface DescentInput {
  readonly space: SearchSpace;
  readonly stages: readonly Stage[];
  readonly ladder: readonly number[];
  readonly natsPerByte: number;
  /** What all stages together may lose, in nats per token. */
  readonly allowanceNats: number;
  /** Tried in order. */
  readonly roundings: readonly RoundingMethod[];
  readonly measure: MeasureStates;
  /** False when the descent should stop: tokens are spent. */
  readonly goOn: () => boolean;
}

export interface Descended {
  readonly state: State;
  readonly path: readonly PathStep[];
}

/** Goes down from the weights as stored. */
export async function* descend(input: DescentInput): AsyncGenerator<RunEvent, Descended, void> {
  const { space, stages, ladder, allowanceNats } = input;
  const path: PathStep[] = [];
  let state: State = { assignment: topOf(space), roundings: new Map() };
  let granted = 0;
  for (const stage of stages) {
    granted += stage.share * allowanceNats;
    let open = stage.genes;
    for (const bits of ladder) {
      if (!input.goOn() || open.length === 0) break;
      const step = yield* down(input, { state, stage, open, bits, granted });
      path.push(...step.path);
      state = step.state;
      open = step.open;
    }
  }
  return { state, path };
}

/** Every gene on its largest level, which loses nothing. */
function topOf(space: SearchSpace): Assignment {
  const top: number[] = space.choices.map(() => 0);
  for (const gene of space.genes) {
    const level = gene.levels.at(-1);
    if (level !== undefined) setLevel(top, gene, level);
  }
  return top;
}

interface Rung {
  readonly state: State;
  readonly stage: Stage;
  readonly open: readonly Gene[];
  readonly bits: number;
  readonly granted: number;
}

interface Tried {
  readonly state: State;
  /** Genes that may go on down. */
  readonly open: readonly Gene[];
  readonly path: readonly PathStep[];
}

/** One rung for all open genes of a stage, by each rounding in turn; then for as many of them as pass. */
async function* down(input: DescentInput, rung: Rung): AsyncGenerator<RunEvent, Tried, void> {
  const { space, natsPerByte } = input;
  const movable = rung.open.filter((gene) => {
    const level = levelOfBits(space, gene, rung.bits, natsPerByte);
    return level !== null && level.bytes < standing(space, gene, rung.state.assignment).bytes;
  });
  if (movable.length === 0) return { state: rung.state, open: rung.open, path: [] };
  const path: PathStep[] = [];
  for (const rounding of input.roundings) {
    if (rounding.prepare !== undefined) yield* rounding.prepare(schemesBelow(input, rung, movable));
    const whole = lowered(input, rung, movable, rounding);
    if (whole === null) continue;
    const [loss] = yield* input.measure([whole]);
    const accepted = loss.klNats <= rung.granted;
    path.push(stepOf(input, rung, { movable, rounding, state: whole, loss, accepted }));
    if (accepted) return { state: whole, open: rung.open, path };
  }
  if (movable.length === 1) return { state: rung.state, open: without(rung.open, movable), path };
  const some = yield* longestPrefix(input, rung, movable);
  return { ...some, path: [...path, ...some.path] };
}

/** Runs of one stage's genes that are measured at once; of more genes, runs of evenly spaced lengths. */
const MOST_PREFIXES = 8;

/** The longest run of the genes that holds what is granted. Runs contain each other and are measured together. */
async function* longestPrefix(
  input: DescentInput,
  rung: Rung,
  movable: readonly Gene[],
): AsyncGenerator<RunEvent, Tried, void> {
  const [rounding] = input.roundings;
  const count = Math.min(MOST_PREFIXES, movable.length - 1);
  const prefixes = Array.from({ length: count }, (_, index) =>
    movable.slice(0, Math.ceil(((index + 1) * (movable.length - 1)) / count)),
  );
  const states = prefixes.flatMap((genes) => {
    const state = lowered(input, rung, genes, rounding);
    return state === null ? [] : [{ genes, state }];
  });
  const losses = yield* input.measure(states.map(({ state }) => state));
  let held = -1;
  losses.forEach(({ klNats }, index) => {
    if (klNats <= rung.granted) held = index;
  });
  const path = states.flatMap(({ genes, state }, index) => {
    // What was measured beyond the first that failed says no more than it does.
    if (index > held + 1) return [];
    const accepted = index === held;
    if (index < held) return [];
    return [stepOf(input, rung, { movable: genes, rounding, state, loss: losses[index], accepted })];
  });
  const kept = held < 0 ? [] : states[held].genes;
  const stuck = movable.filter((gene) => !kept.includes(gene));
  return {
    state: held < 0 ? rung.state : states[held].state,
    open: without(rung.open, stuck),
    path,
  };
}

function without(genes: readonly Gene[], gone: readonly Gene[]): Gene[] {
  return genes.filter((gene) => !gone.includes(gene));
}

/** What the tensors of these genes are stored in at the rung. */
function schemesBelow(
  { space, natsPerByte }: DescentInput,
  { state, bits }: Rung,
  genes: readonly Gene[],
): Map<string, StorageType> {
  const assignment = [...state.assignment];
  for (const gene of genes) {
    const level = levelOfBits(space, gene, bits, natsPerByte);
    if (level !== null) setLevel(assignment, gene, level);
  }
  return new Map(Object.entries(tensorsOf(space, genes, assignment)) as [string, StorageType][]);
}

/** A copy of the state with these genes at the rung; null where the rounding has nothing for one of them. */
function lowered(
  { space, natsPerByte }: DescentInput,
  { state, bits }: Rung,
  genes: readonly Gene[],
  rounding: RoundingMethod,
): State | null {
  const assignment = [...state.assignment];
  const roundings = new Map(state.roundings);
  for (const gene of genes) {
    const level = levelOfBits(space, gene, bits, natsPerByte);
    if (level === null) return null;
    setLevel(assignment, gene, level);
    for (const [tensor, scheme] of Object.entries(tensorsOf(space, [gene], assignment))) {
      if (rounding.change(tensor, scheme as StorageType) === null) return null;
      roundings.set(tensor, rounding);
    }
  }
  return { assignment, roundings };
}

function stepOf(
  { space }: DescentInput,
  { stage, bits, granted }: Rung,
  tried: {
    readonly movable: readonly Gene[];
    readonly rounding: RoundingMethod;
    readonly state: State;
    readonly loss: Pick<TrueLoss, 'klNats' | 'standardError'>;
    readonly accepted: boolean;
  },
): PathStep {
  const { movable, rounding, state, loss, accepted } = tried;
  return {
    phase: 'descent',
    stage: stage.name,
    bits,
    tensors: tensorsOf(space, movable, state.assignment),
    rounding: rounding.name,
    outcome: accepted ? 'accepted' : 'rolled-back',
    klNats: loss.klNats,
    standardError: loss.standardError,
    allowedNats: granted,
    bytes: bytesOf(space.choices, state.assignment),
  };
}

/** The schemes that these genes have. */
export function tensorsOf(
  { choices }: SearchSpace,
  genes: readonly Gene[],
  assignment: Assignment,
): Record<string, string> {
  return Object.fromEntries(
    genes.flatMap(({ members }) =>
      members.map((member) => [
        choices[member].tensor,
        choices[member].candidates[assignment[member]].scheme,
      ]),
    ),
  );
}
