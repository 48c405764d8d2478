/** @file An importance matrix from a file, in either of llama.cpp's forms. */
import { type ImportanceMatrix, readAnyImatrix } from '@bitsmith/formats';
import { FileSource } from './file-source.js';

/** @throws BitsmithError of kind `importance-file` when the file is not a sound importance matrix. */
export async function readImportance(path: string, signal?: AbortSignal): Promise<ImportanceMatrix> {
  const source = await FileSource.open(path, signal);
  try {
    return await readAnyImatrix(source, { signal });
  } finally {
    await source.close();
  }
}
