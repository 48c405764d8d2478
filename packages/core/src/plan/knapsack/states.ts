/**
 * @file Lists of undominated partial plans: bytes over the capacity (`excess`, may be negative) against cost, excess
 * ascending and cost strictly descending, each with the state it came from and the move that made it.
 */

export class StateList {
  readonly length: number;
  readonly excess: Float64Array;
  readonly cost: Float64Array;
  /** Index of the state before the last move, in the list it was made from. */
  readonly parents: Int32Array;
  /** Index of the last move, or -1 for none. */
  readonly moves: Int16Array;

  private constructor(
    length: number,
    columns: { excess: Float64Array; cost: Float64Array; parents: Int32Array; moves: Int16Array },
  ) {
    this.length = length;
    this.excess = columns.excess;
    this.cost = columns.cost;
    this.parents = columns.parents;
    this.moves = columns.moves;
  }

  /** One state at no cost. */
  static single(excess: number): StateList {
    return new StateList(1, {
      excess: Float64Array.of(excess),
      cost: new Float64Array(1),
      parents: Int32Array.of(-1),
      moves: Int16Array.of(-1),
    });
  }

  /** The same states, each its own parent without a move. */
  unmoved(): StateList {
    const parents = Int32Array.from({ length: this.length }, (_, state) => state);
    const moves = new Int16Array(this.length).fill(-1);
    return new StateList(this.length, { excess: this.excess, cost: this.cost, parents, moves });
  }

  /** The undominated states of this list and of `source` after a move. Ties stay with this list. */
  mergedWith(source: StateList, bytes: number, cost: number, move: number): StateList {
    const merged = emptyColumns(this.length + source.length);
    let length = 0;
    let least = Infinity;
    let own = 0;
    let moved = 0;
    while (own < this.length || moved < source.length) {
      const movedExcess = moved < source.length ? source.excess[moved] + bytes : Infinity;
      const movedCost = moved < source.length ? source.cost[moved] + cost : Infinity;
      const takeOwn =
        own < this.length &&
        (this.excess[own] < movedExcess || (this.excess[own] === movedExcess && this.cost[own] <= movedCost));
      const stateCost = takeOwn ? this.cost[own] : movedCost;
      if (stateCost < least) {
        least = stateCost;
        merged.excess[length] = takeOwn ? this.excess[own] : movedExcess;
        merged.cost[length] = stateCost;
        merged.parents[length] = takeOwn ? this.parents[own] : moved;
        merged.moves[length] = takeOwn ? this.moves[own] : move;
        length++;
      }
      if (takeOwn) own++;
      else moved++;
    }
    return new StateList(length, merged);
  }

  /** The states of which `keep` is true, in order. */
  filtered(keep: (state: number) => boolean): StateList {
    const kept = emptyColumns(this.length);
    let length = 0;
    for (let state = 0; state < this.length; state++) {
      if (!keep(state)) continue;
      kept.excess[length] = this.excess[state];
      kept.cost[length] = this.cost[state];
      kept.parents[length] = this.parents[state];
      kept.moves[length] = this.moves[state];
      length++;
    }
    return new StateList(length, {
      excess: kept.excess.slice(0, length),
      cost: kept.cost.slice(0, length),
      parents: kept.parents.slice(0, length),
      moves: kept.moves.slice(0, length),
    });
  }

  /** The cheapest state within the capacity: the last with no excess, since cost falls as bytes rise. -1 when none is. */
  lastFeasible(): number {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.excess[middle] <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

function emptyColumns(length: number) {
  return {
    excess: new Float64Array(length),
    cost: new Float64Array(length),
    parents: new Int32Array(length),
    moves: new Int16Array(length),
  };
}
