/** @file Scores as DuckDB reads them. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { ScoreSet } from '../../packages/core/src/measure/methods/method.js';
import type { Score } from '../../packages/core/src/measure/methods/score.js';
import { writeScores } from '../../packages/core/src/measure/methods/scores-file.js';
import { places } from './workspace.mjs';

const folder = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-interop-'));
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Read {
  readonly columns: readonly (readonly [string, string])[];
  readonly groups: readonly (readonly unknown[])[];
}

const rtn = Array.from({ length: 5000 }, (_, index): Score => ({
  tensor: `blk.${index % 100}.ffn_up.weight`,
  scheme: ['Q2_K', 'Q3_K', 'Q4_K'][index % 3],
  method: 'rtn',
  value: Math.sin(index + 1) ** 2 / 10 ** (index % 9),
  unit: 'nats/token',
  standardError: index % 7 === 0 ? null : 1 / (index + 1),
  evidence: 'measured',
}));
const disable: Score = {
  tensor: 'blk.0.größe.weight',
  scheme: null,
  method: 'disable',
  value: 4.5,
  unit: 'nats/token',
  standardError: null,
  evidence: 'measured',
};
const sets: readonly ScoreSet[] = [
  { method: 'rtn', scores: rtn, textHash: 'ab'.repeat(32), seed: null },
  { method: 'disable', scores: [disable], textHash: null, seed: 2 ** 53 - 1 },
];

const sum = (values: readonly (number | null)[]): number =>
  values.reduce<number>((total, value) => total + (value ?? 0), 0);

test('columns, counts and sums are those that were written', async () => {
  const file = path.join(folder, 'scores.parquet');
  await writeScores(file, sets);
  const script = path.join(places.suite, 'python', 'score_sums.py');
  const read = JSON.parse(execFileSync(places.python, [script, file], { encoding: 'utf8' })) as Read;
  expect(read.columns).toEqual([
    ['tensor', 'VARCHAR'],
    ['scheme', 'VARCHAR'],
    ['method', 'VARCHAR'],
    ['value', 'DOUBLE'],
    ['unit', 'VARCHAR'],
    ['standard_error', 'DOUBLE'],
    ['evidence', 'VARCHAR'],
    ['text_hash', 'VARCHAR'],
    ['seed', 'BIGINT'],
  ]);
  const [first, second] = read.groups;
  expect(first).toEqual(['disable', 1, 0, 4.5, null, 0, 1, 'nats/token', 'measured', null, 2 ** 53 - 1]);
  const errors = rtn.map(({ standardError }) => standardError);
  const known = errors.filter((error) => error !== null).length;
  const text = 'ab'.repeat(32);
  expect(second).toEqual([
    'rtn',
    5000,
    5000,
    expect.closeTo(sum(rtn.map(({ value }) => value)), 8),
    expect.closeTo(sum(errors), 8),
    known,
    100,
    'nats/token',
    'measured',
    text,
    null,
  ]);
});
