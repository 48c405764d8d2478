/** @file In the engine: the shape of the model that weight files hold. */
import { readGguf } from '@bitsmith/formats';
import { FileSource } from '../io/file-source.js';
import type { WeightFiles } from '../model/weight-files.js';
import { readTransformerShape, type TransformerShape } from './shape.js';

/** @param path the first of the files, which has the metadata */
export async function shapeOf(path: string, files: WeightFiles): Promise<TransformerShape> {
  const source = await FileSource.open(path);
  try {
    const { metadata } = await readGguf(source);
    return readTransformerShape(metadata, (name) => files.has(name));
  } finally {
    await source.close();
  }
}
