/**
 * @file What searches on true loss add to the solver's plan of the same bytes: all plans in the live model on the report text, which no
 * search saw, and the tokens that each search ran plans over.
 */
import { inRun, type PlanResult, plan, type StorageType } from '@bitsmith/core';
import { follow } from '../follow.js';
import { row, type Row, say } from '../report.js';
import { ratioOfMeans } from '../statistics.js';
import type { Compared } from './files.js';
import { type Contestant, measureContestants } from './live.js';
import type { Setting } from './setting.js';

export const searchNames = ['evolve', 'gradual'] as const;
export type SearchName = (typeof searchNames)[number];

interface Found {
  readonly name: SearchName;
  readonly result: PlanResult;
  readonly seconds: number;
}

export async function searchRows(
  on: Setting,
  compared: readonly Compared[],
  names: readonly SearchName[],
): Promise<Row[]> {
  const rows: Row[] = [];
  for (const each of compared) rows.push(...(await rowsOfSize(on, each, names)));
  return rows;
}

async function rowsOfSize(on: Setting, size: Compared, names: readonly SearchName[]): Promise<Row[]> {
  const about = { case: `${on.about.name} ${size.preset.name}, search` };
  const found: Found[] = [];
  for (const name of names) {
    say(`${about.case}: ${name} ...`);
    const start = performance.now();
    const searchTokens = on.about.searchTokens ?? undefined;
    const result = await follow(plan({ ...on.job, size: size.bytes, search: name, searchTokens }));
    found.push({ name, result, seconds: (performance.now() - start) / 1000 });
  }
  const contestants = [
    contestantOf(SOLVER, size.plan),
    ...found.map(({ name, result }) => contestantOf(name, result)),
  ];
  const { home, threads } = on.job;
  const losses = await follow(inRun({ home, threads }, (run) => measureContestants(run, on, contestants)));
  const solver = losses(SOLVER);
  return found.flatMap(({ name, result, seconds }) => {
    const loss = losses(name);
    const { ratio, standardError } = ratioOfMeans(loss.sequenceKlNats, solver.sequenceKlNats);
    return [
      row({
        ...about,
        metric: `${name}: mean KL, nats a token; peer: the solver's plan${stays(result, size) ? ', which stays' : ''}`,
        ours: loss.klNats,
        peer: solver.klNats,
        ratio,
        standardError,
        bar: { of: 'ratio', most: 1 },
      }),
      row({ ...about, metric: '  tokens that plans ran over', ours: result.search?.tokens ?? 0 }),
      row({ ...about, metric: '  plans measured', ours: result.search?.evaluations ?? 0 }),
      row({ ...about, metric: '  seconds, less where losses were kept from before', ours: seconds }),
    ];
  });
}

const SOLVER = 'solver';

function stays({ hash }: PlanResult, { plan: solver }: Compared): boolean {
  return hash === solver.hash;
}

function contestantOf(id: string, { tensors }: Pick<PlanResult, 'tensors'>): Contestant {
  return { id, schemes: new Map(tensors.map(({ tensor, scheme }) => [tensor, scheme as StorageType])) };
}
