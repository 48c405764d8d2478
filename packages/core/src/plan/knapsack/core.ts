/**
 * @file The exact repair of the relaxed plan. Only choices that can still matter form the core: a candidate whose reduced
 * cost alone lifts the relaxed bound above a known plan is out. The core is then solved by dynamic programming over lists of
 * undominated states (bytes against cost, relative to the relaxed plan), in order of least reduced cost, where a state goes
 * as soon as its own bound reaches the best known plan. After Pisinger, "A minimal algorithm for the multiple-choice
 * knapsack problem", EJOR 83 (1995). The work is limited: beyond the limit the most promising states are kept, and the least
 * bound among the dropped ones is what remains proven.
 */
import type { Frontier } from './frontier.js';
import { FREE, type Relaxation } from './relaxation.js';
import { StateList } from './states.js';

/** Costs are sums of rounded numbers: a plan that is better by less than this is not better. */
const RELATIVE_TOLERANCE = 1e-12;
const LEAST_STATES_A_STAGE = 64;

/** A candidate of a core choice, relative to the choice's place in the relaxed plan. */
interface Move {
  readonly position: number;
  readonly bytes: number;
  readonly cost: number;
}

interface CoreChoice {
  readonly choice: number;
  readonly moves: readonly Move[];
  readonly leastReducedCost: number;
}

/** What the choices from a stage on can still change. */
interface Outlook {
  /** Least nats lost per byte freed. */
  readonly leastLoss: number;
  /** Most nats saved per byte spent. */
  readonly mostGain: number;
  /** Most bytes that can be freed. */
  readonly freeable: number;
  /** Most nats that can be saved. */
  readonly savable: number;
}

/** A plan: where every choice stands, and what that costs. */
interface KnownPlan {
  readonly positions: Int32Array;
  readonly cost: number;
}

interface CoreResult extends KnownPlan {
  /** No plan of this part costs less, up to rounding. */
  readonly lowerBound: number;
  /** True when nothing was dropped: no plan of this part is better than the one returned. */
  readonly exact: boolean;
  /** Partial plans that were made. */
  readonly work: number;
}

/**
 * Looks for a plan better than `known`; returns that or the known one.
 * @param part a relaxed plan, and the positions that are decided (`FREE` for the others)
 */
export function searchCore(
  frontiers: readonly Frontier[],
  capacity: number,
  part: { readonly relaxation: Relaxation; readonly fixed: Int32Array },
  known: KnownPlan,
  workLimit: number,
): CoreResult {
  const { base, baseBytes, baseCost, lowerBound } = part.relaxation;
  const core = coreChoices(frontiers, part.relaxation, part.fixed, known.cost - lowerBound);
  const outlooks = outlooksOf(core);
  const tolerance = RELATIVE_TOLERANCE * Math.abs(known.cost);
  const search = new CoreSearch(baseBytes - capacity, known.cost - baseCost, tolerance);
  let workLeft = workLimit;
  for (const [stage, { moves }] of core.entries()) {
    if (workLeft <= 0) search.abandon(outlooks[stage]);
    if (search.isDone) break;
    const share = Math.floor(workLeft / (core.length - stage) / (moves.length + 1));
    workLeft -= search.extend(moves, outlooks[stage + 1], Math.max(LEAST_STATES_A_STAGE, share));
  }
  const moves = search.bestMoves();
  const positions = moves === null ? known.positions : base.slice();
  for (const { stage, move } of moves ?? []) positions[core[stage].choice] = core[stage].moves[move].position;
  return {
    positions,
    cost: search.best + baseCost,
    lowerBound: Math.min(search.best, search.leastDropped) + baseCost,
    exact: search.leastDropped >= search.best,
    work: workLimit - workLeft,
  };
}

/** Choices with at least one candidate that could belong to a better plan, the most undecided first. */
function coreChoices(
  frontiers: readonly Frontier[],
  { base, rate }: Relaxation,
  fixed: Int32Array,
  allowance: number,
): readonly CoreChoice[] {
  const core: CoreChoice[] = [];
  for (const [choice, { bytes, cost }] of frontiers.entries()) {
    if (fixed[choice] !== FREE) continue;
    const at = base[choice];
    const moves: Move[] = [];
    let leastReducedCost = Infinity;
    for (let position = 0; position < bytes.length; position++) {
      if (position === at) continue;
      const move = { position, bytes: bytes[position] - bytes[at], cost: cost[position] - cost[at] };
      const reducedCost = move.cost + rate * move.bytes;
      if (reducedCost >= allowance) continue;
      moves.push(move);
      leastReducedCost = Math.min(leastReducedCost, reducedCost);
    }
    if (moves.length > 0) core.push({ choice, moves, leastReducedCost });
  }
  return core.sort((a, b) => a.leastReducedCost - b.leastReducedCost || a.choice - b.choice);
}

/** Entry k: what stages k and later can do; one more entry than there are stages. */
function outlooksOf(core: readonly CoreChoice[]): readonly Outlook[] {
  const outlooks: Outlook[] = [{ leastLoss: Infinity, mostGain: 0, freeable: 0, savable: 0 }];
  for (const { moves } of core.toReversed()) {
    let { leastLoss, mostGain, freeable, savable } = outlooks[outlooks.length - 1];
    let freed = 0;
    let saved = 0;
    for (const { bytes, cost } of moves) {
      if (bytes < 0) {
        leastLoss = Math.min(leastLoss, cost / -bytes);
        freed = Math.max(freed, -bytes);
      } else {
        mostGain = Math.max(mostGain, -cost / bytes);
        saved = Math.max(saved, -cost);
      }
    }
    outlooks.push({ leastLoss, mostGain, freeable: freeable + freed, savable: savable + saved });
  }
  return outlooks.toReversed();
}

/** The least cost that a state can still end at, given what later stages can change. */
function boundOf(excess: number, cost: number, outlook: Outlook): number {
  if (excess > outlook.freeable) return Infinity;
  if (excess > 0) return cost + outlook.leastLoss * excess;
  return cost + Math.max(outlook.mostGain * excess, -outlook.savable);
}

/** The dynamic program. Costs and bytes are relative to the relaxed plan. */
class CoreSearch {
  best: number;
  leastDropped = Infinity;
  private readonly tolerance: number;
  private states: StateList;
  private readonly stages: Pick<StateList, 'parents' | 'moves'>[] = [];
  private winner: { stage: number; parent: number; move: number } | null = null;

  constructor(excess: number, knownCost: number, tolerance: number) {
    this.best = knownCost;
    this.tolerance = tolerance;
    this.states = StateList.single(excess);
  }

  get isDone(): boolean {
    return this.states.length === 0;
  }

  /** Adds one choice's moves to every state; returns how many states that made. */
  extend(moves: readonly Move[], outlook: Outlook, mostStates: number): number {
    let made = this.states.length;
    let next = this.states.unmoved();
    for (const [index, move] of moves.entries()) {
      next = next.mergedWith(this.states, move.bytes, move.cost, index);
      made += next.length;
    }
    this.noteBest(next);
    this.states = this.pruned(next, outlook, mostStates);
    this.stages.push({ parents: this.states.parents, moves: this.states.moves });
    return made;
  }

  /** Gives up what is still open; its least bound stays in the proof. */
  abandon(outlook: Outlook): void {
    for (let state = 0; state < this.states.length; state++) {
      const bound = boundOf(this.states.excess[state], this.states.cost[state], outlook);
      this.leastDropped = Math.min(this.leastDropped, bound);
    }
    this.states = this.states.filtered(() => false);
  }

  /** The moves that make the best plan out of the relaxed one; null when the plan known at the start was not beaten. */
  bestMoves(): readonly { stage: number; move: number }[] | null {
    if (this.winner === null) return null;
    const path: { stage: number; move: number }[] = [];
    let { parent: state, move } = this.winner;
    for (let stage = this.winner.stage; stage >= 0; stage--) {
      if (move >= 0) path.push({ stage, move });
      if (stage === 0) break;
      move = this.stages[stage - 1].moves[state];
      state = this.stages[stage - 1].parents[state];
    }
    return path;
  }

  private noteBest(states: StateList): void {
    const state = states.lastFeasible();
    if (state < 0 || states.cost[state] >= this.best - this.tolerance) return;
    this.best = states.cost[state];
    this.winner = { stage: this.stages.length, parent: states.parents[state], move: states.moves[state] };
  }

  /** Drops the states that cannot beat the best plan and, above `mostStates`, those that promise least. */
  private pruned(states: StateList, outlook: Outlook, mostStates: number): StateList {
    const bounds = Float64Array.from({ length: states.length }, (_, state) =>
      boundOf(states.excess[state], states.cost[state], outlook),
    );
    const hopeless = this.best - this.tolerance;
    const live = bounds.filter((bound) => bound < hopeless);
    if (live.length <= mostStates) return states.filtered((state) => bounds[state] < hopeless);

    const limit = live.sort()[mostStates];
    this.leastDropped = Math.min(this.leastDropped, limit);
    let tiesLeft = mostStates - live.indexOf(limit);
    return states.filtered((state) => bounds[state] < limit || (bounds[state] === limit && tiesLeft-- > 0));
  }
}
