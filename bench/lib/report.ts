/** @file What every bench says: rows with the same columns, as a table for people, as JSON, and as an exit code. */
import { writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { engineRelease } from '@bitsmith/ggml';
import { bitsmithVersion } from '@bitsmith/core';

/** What a row must reach: its own value, or its ratio to the peer's, within limits. */
export interface Bar {
  readonly of: 'ours' | 'ratio';
  readonly least?: number;
  readonly most?: number;
}

export interface Row {
  /** What was measured: a scheme, a preset, a model. */
  readonly case: string;
  /** The quantity with its unit. */
  readonly metric: string;
  readonly ours: number;
  /** The same of what it is compared with; null where there is nothing to compare with. */
  readonly peer: number | null;
  /** Ours over the peer's. */
  readonly ratio: number | null;
  /** Of the ratio where there is one, else of ours; null where it was not estimated. */
  readonly standardError: number | null;
  readonly bar: string | null;
  readonly pass: boolean | null;
}

interface Measured extends Omit<Row, 'peer' | 'ratio' | 'standardError' | 'bar' | 'pass'> {
  readonly peer?: number;
  /** Default: ours over the peer's. */
  readonly ratio?: number;
  readonly standardError?: number;
  readonly bar?: Bar;
}

/** A row, judged where it has a bar. */
export function row(measured: Measured): Row {
  const { peer = null, standardError = null, bar, ours } = measured;
  const ratio = measured.ratio ?? (peer === null ? null : ours / peer);
  const judged = bar === undefined ? null : bar.of === 'ours' ? ours : ratio;
  return {
    case: measured.case,
    metric: measured.metric,
    ours,
    peer,
    ratio,
    standardError,
    bar: bar === undefined ? null : barText(bar),
    pass:
      bar === undefined
        ? null
        : judged !== null && judged >= (bar.least ?? -Infinity) && judged <= (bar.most ?? Infinity),
  };
}

function barText({ of, least, most }: Bar): string {
  const limits =
    least === undefined ? `<= ${most}` : most === undefined ? `>= ${least}` : `${least} to ${most}`;
  return of === 'ratio' ? `ratio ${limits}` : limits;
}

export interface BenchFlags {
  readonly json?: string;
  readonly check: boolean;
  readonly values: Readonly<Record<string, string | boolean | undefined>>;
}

/** Reads `--json FILE` and `--check`, and the bench's own flags with a value. */
export function readFlags(own: readonly string[] = []): BenchFlags {
  const options = Object.fromEntries(own.map((name) => [name, { type: 'string' } as const]));
  const { values } = parseArgs({
    options: { ...options, json: { type: 'string' }, check: { type: 'boolean' } },
    strict: true,
  });
  return { json: values.json as string | undefined, check: values['check'] === true, values };
}

/** Prints the table, writes the JSON, and sets the exit code where a bar is missed and that was asked about. */
export async function report(bench: string, rows: readonly Row[], flags: BenchFlags): Promise<void> {
  const versions = {
    bitsmith: bitsmithVersion,
    engine: engineRelease,
    node: process.versions.node,
    platform: `${process.platform}-${process.arch}, ${availableParallelism()} cores`,
  };
  console.log(
    `${bench}: Bitsmith ${versions.bitsmith}, llama.cpp ${versions.engine}, ${versions.platform}\n`,
  );
  printTable(rows);
  if (flags.json !== undefined) {
    await writeFile(flags.json, `${JSON.stringify({ bench, versions, rows }, null, 2)}\n`);
  }
  const missed = rows.filter(({ pass }) => pass === false);
  const judged = rows.filter(({ pass }) => pass !== null).length;
  console.log(`\n${judged - missed.length} of ${judged} bars reached.`);
  if (flags.check && missed.length > 0) process.exitCode = 1;
}

/** Progress, beside the results. */
export function say(message: string): void {
  process.stderr.write(`${message}\n`);
}

function printTable(rows: readonly Row[]): void {
  const lines = [
    ['case', 'metric', 'ours', 'peer', 'ratio', '+-', 'bar', ''],
    ...rows.map((entry) => [
      entry.case,
      entry.metric,
      figure(entry.ours),
      figure(entry.peer),
      figure(entry.ratio),
      entry.standardError === null ? '' : entry.standardError.toPrecision(2),
      entry.bar ?? '',
      entry.pass === null ? '' : entry.pass ? 'reached' : 'MISSED',
    ]),
  ];
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  for (const line of lines) {
    const cells = line.map((cell, column) =>
      column >= 2 && column <= 5 ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
    );
    console.log(cells.join('  ').trimEnd());
  }
}

/** Four digits that say something; whole numbers whole. */
function figure(value: number | null): string {
  if (value === null) return '';
  if (Number.isInteger(value)) return value.toLocaleString('en');
  return Math.abs(value) >= 1000 ? Math.round(value).toLocaleString('en') : value.toPrecision(4);
}
