/**
 * @file How fast the planner's knapsack is solved, and how close the plans are to the best there is: models of a few hundred
 * tensors and a large mixture of experts, at budgets from 2.3 to 6 bits per weight. A problem's time is the median over
 * repeated solves, in processor time, which other work on the machine hardly changes: the solver has one thread. Gaps are the
 * largest over all problems, against the solver's own proven bound.
 */
import { solve } from '@bitsmith/core';
import { bytesAt, denseModel, type KnapsackModel, mixtureModel } from './lib/knapsack-instances.js';
import { type Bar, readFlags, report, type Row, row, say } from './lib/report.js';
import { median } from './lib/statistics.js';

interface Case {
  readonly model: (seed: number) => KnapsackModel;
  readonly seeds: number;
  readonly repeats: number;
  readonly milliseconds: Bar;
}

const SCHEMES = 40;
const BUDGETS = [2.3, 2.6, 3, 3.5, 4, 4.5, 5, 6];
/** Sums are rounded. */
const ROUNDING = 1e-9;
const LARGEST_GAP: Bar = { of: 'ours', most: 0.1 };

const cases: readonly Case[] = [
  {
    model: (seed) => denseModel(seed, 300, SCHEMES),
    seeds: 5,
    repeats: 7,
    milliseconds: { of: 'ours', most: 50 },
  },
  {
    model: (seed) => mixtureModel(seed, 300, SCHEMES),
    seeds: 5,
    repeats: 7,
    milliseconds: { of: 'ours', most: 50 },
  },
  {
    model: (seed) => mixtureModel(seed, 10_000, SCHEMES),
    seeds: 2,
    repeats: 3,
    milliseconds: { of: 'ours', most: 2000 },
  },
];

async function main(): Promise<void> {
  const flags = readFlags();
  // What is measured is the solver, not its compilation.
  measure(denseModel(99, 300, SCHEMES), 1);
  const rows: Row[] = [];
  for (const { model, seeds, repeats, milliseconds } of cases) {
    const models = Array.from({ length: seeds }, (_, index) => model(index + 1));
    const runs = models.flatMap((each) => measure(each, repeats));
    const { name } = models[0];
    say(`${name}: ${runs.length} problems, ${repeats} solves each`);
    const times = runs.map((run) => run.milliseconds);
    rows.push(
      row({ case: name, metric: 'typical problem, ms', ours: median(times), bar: milliseconds }),
      row({ case: name, metric: 'slowest problem, ms', ours: Math.max(...times), bar: milliseconds }),
      row({
        case: name,
        metric: 'largest gap, %',
        ours: 100 * Math.max(...runs.map(({ gap }) => gap)),
        bar: LARGEST_GAP,
      }),
      row({
        case: name,
        metric: 'plans proven best, %',
        ours: (100 * runs.filter(({ gap }) => gap < ROUNDING).length) / runs.length,
      }),
    );
  }
  await report('solver', rows, flags);
}

function measure(model: KnapsackModel, repeats: number): { milliseconds: number; gap: number }[] {
  return BUDGETS.map((bits) => {
    const runs = Array.from({ length: repeats }, () => {
      const start = process.cpuUsage();
      const { gap } = solve(model.choices, bytesAt(model, bits));
      const { user, system } = process.cpuUsage(start);
      return { milliseconds: (user + system) / 1000, gap };
    });
    return { milliseconds: median(runs.map(({ milliseconds }) => milliseconds)), gap: runs[0].gap };
  });
}

await main();
