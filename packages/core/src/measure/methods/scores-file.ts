/**
 * @file Scores as a Parquet file, one row a score, for DuckDB, pandas and their like. Columns: tensor, scheme (null where the
 * score holds for any), method, value, unit, standard_error (null where unknown), evidence, text_hash (null for what depends on
 * the weights alone), seed (null for what depends on none).
 */
import type { ColumnSource } from 'hyparquet-writer';
import { writeAtomically } from '../../io/file-sink.js';
import type { ScoreSet } from './method.js';

/** Raised when a column changes its meaning. */
const SCORES_VERSION = 1;

/** Writes the scores; the file appears complete or not at all. */
export async function writeScores(file: string, sets: readonly ScoreSet[]): Promise<void> {
  const bytes = new Uint8Array(await scoresToParquet(sets));
  await writeAtomically(file, (sink) => sink.write(bytes));
}

async function scoresToParquet(sets: readonly ScoreSet[]): Promise<ArrayBuffer> {
  const { parquetWriteBuffer } = await import('hyparquet-writer');
  const rows = sets.flatMap(({ scores, textHash, seed }) =>
    scores.map((score) => ({ ...score, textHash, seed: seed === null ? null : BigInt(seed) })),
  );
  const column = (
    name: string,
    type: 'STRING' | 'DOUBLE' | 'INT64',
    value: (row: (typeof rows)[number]) => string | number | bigint | null,
    nullable = false,
  ): ColumnSource => ({ name, type, nullable, data: rows.map(value) });
  return parquetWriteBuffer({
    columnData: [
      column('tensor', 'STRING', ({ tensor }) => tensor),
      column('scheme', 'STRING', ({ scheme }) => scheme, true),
      column('method', 'STRING', ({ method }) => method),
      column('value', 'DOUBLE', ({ value }) => value),
      column('unit', 'STRING', ({ unit }) => unit),
      column('standard_error', 'DOUBLE', ({ standardError }) => standardError, true),
      column('evidence', 'STRING', ({ evidence }) => evidence),
      column('text_hash', 'STRING', ({ textHash }) => textHash, true),
      column('seed', 'INT64', ({ seed }) => seed, true),
    ],
    kvMetadata: [{ key: 'bitsmith.scores.version', value: String(SCORES_VERSION) }],
    createdBy: 'bitsmith',
  });
}
