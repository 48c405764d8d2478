/**
 * @file Evolutionary search over plans of a size, on true loss (after Sieberling et al., "EvoPress", 2024). Prices say where to look:
 * the population begins around the solver's plan, and switches that prices call hopeless are hardly drawn. Measurements decide:
 * every new plan runs over a little text, the better ones over more, the best over all there is for selection (successive
 * halving), and every measurement corrects the prices of the tensors in it. What is found is held against the seeds on text that nothing was selected on.
 */
import { mix32, mulberry32 } from '../../run/mulberry32.js';
import type { RunEvent, Work } from '../../run/events.js';
import { stage } from '../../run/work.js';
import { type TokenizedText, tokensOf } from '../../text/tokenize.js';
import { type Assignment, bytesOf, genomeOf } from '../assignment.js';
import type { SearchSpace } from '../genes.js';
import { surelyLess } from '../paired.js';
import { PlanLedger, type PlanMeasurement } from '../plan-ledger.js';
import type { EvolveRecord, Generation } from '../search-record.js';
import { divideSearchText, type SearchText } from '../search-text.js';
import { Standings } from './standings.js';
import { type Decided, decide, type NamedPlan, SOLVER, takenWords } from '../verdict.js';
import { crossBlocks } from './crossover.js';
import { switchLevels } from './mutation.js';
import { type EvolveOptions, type EvolveSettings, evolveSettings } from './options.js';
import { neighbours, solveWith } from './seeds.js';

export interface EvolveInput {
  readonly live: PlanMeasurement;
  readonly space: SearchSpace;
  /** The solver's plan. */
  readonly plan: Assignment;
  /** Its predicted loss in nats per token; default: the sum of its prices. */
  readonly predictedNats?: number;
  /** Plans made otherwise that fit the budget: they are seeds, and never beaten by what is returned. */
  readonly presets?: readonly NamedPlan[];
  /** The search text, whole. */
  readonly text: TokenizedText;
  readonly options?: EvolveOptions;
}

/**
 * Searches for a plan within the budget that truly loses less than the solver's and every preset given.
 * @returns a plan that was measured not to be worse than any of them
 * @throws BitsmithError `SEARCH_INVALID`
 */
export async function* evolve(input: EvolveInput): Work<{ assignment: Assignment; record: EvolveRecord }> {
  const settings = evolveSettings(input.options);
  return yield* stage('refine', `plans by evolution on ${input.text.name}`, async function* () {
    const search = new Evolution(input, settings);
    const result = yield* search.run();
    const { verdict, history, evaluations, tokens } = result.record;
    const summary = `${history.length - 1} generations, ${evaluations} plans over ${tokens.toLocaleString('en-US')} tokens: ${takenWords(verdict)}`;
    return { result, summary, cached: search.ledger.cached };
  });
}

/** A level's share of the population: everything, a quarter, the elite. */
const SURVIVORS = 0.25;
/** Of the children, those that the solver makes anew of prices as they may be, by all that was measured so far. */
const REPLANNED = 0.3;
/** Draws for one child that was not there before. */
const MOST_DRAWS = 20;
/** Shares of all tokens that parts of the text may have: each is run over many times. */
const FIRST_SHARE = 1 / 64;
const WHOLE_SHARE = 1 / 16;

class Evolution {
  readonly ledger: PlanLedger;
  private readonly input: EvolveInput;
  private readonly settings: EvolveSettings;
  private readonly random: () => number;
  private readonly text: SearchText;
  private readonly standings: Standings;
  private readonly presets: readonly NamedPlan[];
  private readonly history: Generation[] = [];
  private population: Assignment[] = [];
  private readonly seen = new Set<string>();

  constructor(input: EvolveInput, settings: EvolveSettings) {
    const { live, space, plan, presets = [], text } = input;
    this.input = input;
    this.settings = settings;
    this.random = mulberry32(mix32(live.run.seed));
    this.ledger = new PlanLedger(live, space.choices);
    const { searchTokens } = settings;
    this.text = divideSearchText(text, {
      first: searchTokens * FIRST_SHARE,
      whole: searchTokens * WHOLE_SHARE,
    });
    this.standings = new Standings(this.ledger, this.text.levels, space, plan, input.predictedNats);
    this.presets = presets.filter(
      ({ assignment }) => bytesOf(space.choices, assignment) <= space.capacityBytes,
    );
  }

  async *run(): Work<{ assignment: Assignment; record: EvolveRecord }> {
    const { space, plan } = this.input;
    const given = [plan, ...this.presets.map(({ assignment }) => assignment)];
    const around = neighbours(
      space,
      plan,
      given,
      Math.max(0, this.settings.population - given.length),
      this.random,
    );
    yield* this.enter([...given, ...around]);
    for (let generation = 1; generation <= this.settings.generations; generation++) {
      const children = this.children();
      if (children.length === 0) break;
      yield* this.enter(children);
    }
    const { assignment, verdict } = yield* this.finish();
    const { evaluations, tokens } = this.ledger;
    let sum = 0;
    const levelTokens = this.text.levels.map((level) => (sum += tokensOf(level)));
    return {
      assignment,
      record: {
        search: 'evolve',
        settings: this.settings,
        seed: this.input.live.run.seed,
        levelTokens,
        history: this.history,
        verdict,
        priceError: this.standings.priceError,
        evaluations,
        tokens,
      },
    };
  }

  /** Measures new plans, level by level, and keeps the best of all as the population. */
  private async *enter(plans: readonly Assignment[]): AsyncGenerator<RunEvent, void, void> {
    const { population: size, elite } = this.settings;
    const { levels } = this.text;
    let pool = [...this.population, ...plans];
    for (const plan of plans) this.seen.add(genomeOf(this.input.space.choices, plan));
    const label = `generation ${this.history.length}`;
    for (const [level, text] of levels.entries()) {
      const last = level === levels.length - 1 && level > 0;
      const share = level === 0 ? pool.length : Math.ceil(size * (last ? elite : SURVIVORS));
      const ready = (level === 0 ? pool : this.standings.ordered(pool)).filter(
        (plan) => this.standings.reached(plan) >= level,
      );
      const chosen = this.affordable(ready.slice(0, Math.max(1, share)), text);
      yield* this.ledger.measure([this.input.plan, ...chosen], text, label);
      this.ledger.refuseOverflow(this.input.plan);
      if (level === 0) pool = pool.filter((plan) => this.standings.reached(plan) > 0);
    }
    this.standings.learn(pool);
    this.population = this.standings.ordered(pool).slice(0, size);
    yield this.note();
  }

  /** As many of the plans as tokens and evaluations are left for, the check set aside. */
  private affordable(plans: readonly Assignment[], text: TokenizedText): Assignment[] {
    let { tokens, evaluations } = this.left(text);
    return plans.filter((plan) => {
      if (this.ledger.lossOn(text, plan) !== null) return true;
      const isNew = this.standings.reached(plan) === 0;
      if (tokens < tokensOf(text) || (isNew && evaluations < 1)) return false;
      tokens -= tokensOf(text);
      if (isNew) evaluations--;
      return true;
    });
  }

  /** What is left for plans on a text; the check and the reference, which is measured in any case, are set aside. */
  private left(text: TokenizedText): { tokens: number; evaluations: number } {
    const { searchTokens, maxEvaluations } = this.settings;
    const check = this.text.check === null ? 0 : tokensOf(this.text.check);
    const reference = this.ledger.lossOn(text, this.input.plan) === null ? tokensOf(text) : 0;
    return {
      tokens: searchTokens - this.ledger.tokens - check * (2 + this.contenders().length) - reference,
      evaluations: maxEvaluations - this.ledger.evaluations,
    };
  }

  /** Presets that are not clearly worse than the solver's plan, as far as is known. */
  private contenders(): NamedPlan[] {
    return this.presets.filter(({ assignment }) => {
      if (this.standings.reached(assignment) === 0) return true;
      const { nats, standardError } = this.standings.difference(assignment);
      return !surelyLess({ nats: -nats, standardError });
    });
  }

  private children(): Assignment[] {
    const { population, elite } = this.settings;
    const [text] = this.text.levels;
    const { tokens, evaluations } = this.left(text);
    const wanted = Math.min(
      population - Math.ceil(population * elite),
      evaluations,
      Math.floor(tokens / tokensOf(text)),
    );
    const found: Assignment[] = [];
    for (let draw = 0; found.length < wanted && draw < wanted * MOST_DRAWS; draw++) {
      const child = this.child();
      if (child === null) continue;
      const genome = genomeOf(this.input.space.choices, child);
      if (this.seen.has(genome)) continue;
      this.seen.add(genome);
      found.push(child);
    }
    return found;
  }

  private child(): Assignment | null {
    const { space } = this.input;
    const { crossover, mutation } = this.settings;
    if (this.random() < REPLANNED) return solveWith(space, this.standings.drawFactors(this.random));
    const parent = this.parent();
    const crossed = this.random() < crossover;
    let child: Assignment | null = crossed ? crossBlocks(space, parent, this.parent(), this.random) : parent;
    if (crossed && this.random() >= mutation) return child;
    do child = child === null ? null : switchLevels(space, child, this.random, this.standings.priceError);
    while (this.random() < mutation);
    return child;
  }

  /** The best of a few drawn from the population. */
  private parent(): Assignment {
    let best = this.population.length - 1;
    for (let entrant = 0; entrant < this.settings.tournament; entrant++)
      best = Math.min(best, Math.floor(this.random() * this.population.length));
    return this.population[best];
  }

  /** Losses of the population: the reference's on all text it ran over, and the differences from it. */
  private note(): RunEvent {
    const { plan } = this.input;
    const base = mean(this.standings.sequences(plan));
    const losses = this.population.map((each) => base + this.standings.expected(each));
    const generation: Generation = {
      generation: this.history.length,
      best: Math.min(...losses),
      mean: mean(losses),
      worst: Math.max(...losses),
      evaluations: this.ledger.evaluations,
      tokens: this.ledger.tokens,
    };
    this.history.push(generation);
    const nats = [generation.best, generation.mean, generation.worst].map((value) => value.toPrecision(4));
    return {
      type: 'note',
      level: 'verbose',
      message: `Generation ${generation.generation}: best ${nats[0]}, mean ${nats[1]}, worst ${nats[2]} nats per token; ${generation.evaluations} plans, ${generation.tokens} tokens`,
    };
  }

  /** The best plan on the most text, against the seeds that are not clearly worse than the solver's plan. */
  private async *finish(): Work<Decided> {
    const { plan } = this.input;
    const seeds = [{ name: SOLVER, assignment: plan }, ...this.contenders()];
    const old = new Set(seeds.map(({ assignment }) => assignment));
    const bred = this.population.filter((each) => !old.has(each));
    const most = Math.max(0, ...bred.map((each) => this.standings.reached(each)));
    const [found] = bred
      .filter((each) => this.standings.reached(each) === most && this.standings.expected(each) < 0)
      .toSorted((a, b) => this.standings.expected(a) - this.standings.expected(b));
    return yield* decide(this.ledger, {
      seeds,
      found: found ?? null,
      check: this.text.check,
      levels: this.text.levels.slice(0, Math.max(1, most)),
    });
  }
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
