/**
 * @file Reads the importance files of older llama.cpp versions (`.dat`). Per entry: name, number of calls, and the mean
 * squared inputs times that number; then, in most files, the number of chunks and the name of the text. All int32 and
 * float32, little-endian. Experts are not told apart: an entry is one row of all channels of all experts.
 */
import type { ByteSource } from '../io/byte-source.js';
import { WindowedReader } from '../io/windowed-reader.js';
import { decodeUtf8 } from '../text/utf8.js';
import { asImatrixErrors, imatrixError } from './fail.js';
import { MAX_TENSOR_VALUES, MAX_VALUES } from './names.js';
import type { ImportanceEntry, ImportanceMatrix } from './types.js';
import { checkEntry } from './validate.js';
import { quote } from '../text/quote.js';

/** Name length, one byte of name, calls, value count, one value. */
const MIN_ENTRY_BYTES = 17;
const MAX_NAME_BYTES = 1024;
const MAX_DATASET_BYTES = 65_536;
/** As many as a GGUF may have tensors. */
const MAX_ENTRIES = 1_048_576;

/** @throws BitsmithError of kind `importance-file`: `IMATRIX_*`. */
export async function readLegacyImatrix(
  source: ByteSource,
  options: { signal?: AbortSignal } = {},
): Promise<ImportanceMatrix> {
  return asImatrixErrors(async () => {
    options.signal?.throwIfAborted();
    const reader = new WindowedReader(source, {
      truncated: { kind: 'importance-file', code: 'IMATRIX_TRUNCATED', format: 'importance matrix (.dat)' },
      signal: options.signal,
    });
    const entries = await readEntries(reader);
    const { chunkCount, datasets } = await readTrailer(reader);
    return { datasets, chunkCount, chunkSize: 0, entries, extra: new Map(), metadata: new Map() };
  });
}

async function readEntries(reader: WindowedReader): Promise<Map<string, ImportanceEntry>> {
  const count = await readLength(reader, 'entries', MIN_ENTRY_BYTES, MAX_ENTRIES);
  const entries = new Map<string, ImportanceEntry>();
  let total = 0;
  for (let index = 0; index < count; index++) {
    const name = await readText(reader, `the name of entry ${index}`, MAX_NAME_BYTES);
    if (entries.has(name)) {
      throw imatrixError('IMATRIX_DUPLICATE', `the entry ${quote(name)} appears twice`);
    }
    await reader.load(4, `the calls of ${quote(name)}`);
    const calls = reader.int32();
    const columns = await readLength(reader, `values of ${quote(name)}`, 4, MAX_TENSOR_VALUES);
    total += columns;
    if (total > MAX_VALUES) {
      throw imatrixError('IMATRIX_SIZE', `${total} values up to ${quote(name)}`, {
        expected: `at most ${MAX_VALUES} values`,
      });
    }
    const inSum2 = new Float32Array(columns);
    await reader.readInto(new Uint8Array(inSum2.buffer), `the values of ${quote(name)}`);
    // llama-quantize takes the values as they are when there were no calls, which is what one call means.
    const counts = Float32Array.of(Math.max(1, calls));
    const entry = { columns, matrices: 1, inSum2, counts };
    checkEntry(name, entry);
    entries.set(name, entry);
  }
  return entries;
}

/** The oldest files end after the entries. */
async function readTrailer(reader: WindowedReader): Promise<{ chunkCount: number; datasets: string[] }> {
  if (reader.remaining === 0) return { chunkCount: 0, datasets: [] };
  await reader.load(4, 'the number of chunks');
  const chunkCount = reader.int32();
  if (chunkCount < 0) {
    throw imatrixError('IMATRIX_METADATA', `the number of chunks is ${chunkCount}`, {
      expected: 'a whole number',
    });
  }
  if (reader.remaining === 0) return { chunkCount, datasets: [] };
  await reader.load(4, 'the length of the text name');
  const length = reader.int32();
  if (length < 0 || length > MAX_DATASET_BYTES)
    throw countError('bytes of the text name', length, MAX_DATASET_BYTES);
  await reader.load(length, 'the text name');
  const bytes = reader.take(length);
  if (reader.remaining > 0) {
    throw imatrixError('IMATRIX_TRAILING', `${reader.remaining} bytes follow the end of the matrix`, {
      expected: 'the end of the file',
      found: `${reader.remaining} further bytes`,
    });
  }
  return { chunkCount, datasets: length === 0 ? [] : [decodeUtf8(bytes) ?? new TextDecoder().decode(bytes)] };
}

async function readText(reader: WindowedReader, what: string, cap: number): Promise<string> {
  const length = await readLength(reader, `bytes of ${what}`, 1, cap);
  await reader.load(length, what);
  const text = decodeUtf8(reader.take(length));
  if (text !== undefined) return text;
  throw imatrixError('IMATRIX_NAME', `${what} is not valid UTF-8`, {
    suggestion: 'Check that the path names an importance matrix.',
  });
}

/** A positive int32 count of things of at least `minBytes` each, held against the bytes that are left. */
async function readLength(
  reader: WindowedReader,
  what: string,
  minBytes: number,
  cap: number,
): Promise<number> {
  await reader.load(4, `the number of ${what}`);
  const count = reader.int32();
  const possible = Math.min(cap, Math.floor(reader.remaining / minBytes));
  if (count < 1 || count > possible) throw countError(what, count, possible);
  return count;
}

function countError(what: string, count: number, possible: number): Error {
  return imatrixError(
    'IMATRIX_COUNT',
    `the file declares ${count} ${what}, but 1 to ${possible} are possible`,
    {
      expected: `1 to ${possible} ${what}`,
      found: String(count),
      suggestion: 'Check that the path names an importance matrix, and that it is complete.',
    },
  );
}
