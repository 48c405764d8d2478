import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { parquetMetadata, parquetReadObjects } from 'hyparquet';
import { expect, test } from 'vitest';
import type { ScoreSet } from '../../src/measure/methods/method.js';
import { writeScores } from '../../src/measure/methods/scores-file.js';
import { randomFrom } from '../support/random.js';
import { temporaryFolder } from '../support/temporary.js';

const folder = await temporaryFolder();
const random = randomFrom(4);

const sets: readonly ScoreSet[] = [
  {
    method: 'noise',
    textHash: 'ab'.repeat(32),
    seed: 2 ** 53 - 1,
    scores: Array.from({ length: 300 }, (_, index) => ({
      tensor: `blk.${index}.ffn_down.weight`,
      scheme: index % 2 === 0 ? 'Q3_K' : 'IQ4_XS',
      method: 'noise' as const,
      value: random() * 10 ** (-12 * random()),
      unit: 'nats/token' as const,
      standardError: random(),
      evidence: 'estimated' as const,
    })),
  },
  {
    method: 'disable',
    textHash: 'cd'.repeat(32),
    seed: null,
    scores: [
      {
        tensor: 'blk.0.größe.weight',
        scheme: null,
        method: 'disable',
        value: 4.5,
        unit: 'nats/token',
        standardError: null,
        evidence: 'measured',
      },
    ],
  },
  {
    method: 'variance',
    textHash: null,
    seed: null,
    scores: [
      {
        tensor: 'output.weight',
        scheme: 'Q2_K',
        method: 'variance',
        value: 0,
        unit: 'relative',
        standardError: null,
        evidence: 'estimated',
      },
    ],
  },
];

async function rowsOf(file: string) {
  const bytes = await readFile(file);
  const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
  return { rows: await parquetReadObjects({ file: buffer }), metadata: parquetMetadata(buffer) };
}

test('another reader finds every score, with its kind of column', async () => {
  const file = path.join(folder, 'scores.parquet');
  await writeScores(file, sets);
  const { rows, metadata } = await rowsOf(file);
  expect(rows).toEqual(
    sets.flatMap(({ scores, textHash, seed }) =>
      scores.map(({ tensor, scheme, method, value, unit, standardError, evidence }) => ({
        tensor,
        scheme,
        method,
        value,
        unit,
        standard_error: standardError,
        evidence,
        text_hash: textHash,
        seed: seed === null ? null : BigInt(seed),
      })),
    ),
  );
  const columns = metadata.schema.slice(1).map(({ name, type, repetition_type: kind }) => [name, type, kind]);
  expect(columns).toEqual([
    ['tensor', 'BYTE_ARRAY', 'REQUIRED'],
    ['scheme', 'BYTE_ARRAY', 'OPTIONAL'],
    ['method', 'BYTE_ARRAY', 'REQUIRED'],
    ['value', 'DOUBLE', 'REQUIRED'],
    ['unit', 'BYTE_ARRAY', 'REQUIRED'],
    ['standard_error', 'DOUBLE', 'OPTIONAL'],
    ['evidence', 'BYTE_ARRAY', 'REQUIRED'],
    ['text_hash', 'BYTE_ARRAY', 'OPTIONAL'],
    ['seed', 'INT64', 'OPTIONAL'],
  ]);
  expect(metadata.key_value_metadata).toEqual([{ key: 'bitsmith.scores.version', value: '1' }]);
});

test('no scores make a file without rows', async () => {
  const file = path.join(folder, 'none.parquet');
  await writeScores(file, []);
  expect((await rowsOf(file)).rows).toEqual([]);
});

test('what stood there before is replaced whole, and nothing else is left', async () => {
  const file = path.join(folder, 'again.parquet');
  await writeScores(file, sets);
  await writeScores(file, sets.slice(2));
  expect((await rowsOf(file)).rows).toHaveLength(1);
  expect((await readdir(folder)).filter((name) => name.includes('tmp'))).toEqual([]);
});
