/** @file The bundled model as a GGUF, and copies of it with chosen damage. */
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type GgufFile, MemorySource, readGguf } from '@bitsmith/formats';
import { convert } from '../../src/jobs/convert.js';
import { orator, runJob } from './jobs.js';

export interface Damageable {
  readonly bytes: Uint8Array;
  readonly header: GgufFile;
  /** Writes a copy that `damage` changed (in place, or by returning other bytes); returns its path. */
  damaged(name: string, damage: (bytes: Buffer) => Uint8Array | void): Promise<string>;
  /** Where in the file a BF16 weight lies. */
  placeOf(tensor: string, row: number, column: number): number;
}

/** Converts the bundled model into `folder`; `home` keeps what the conversion leaves. */
export async function damageable(folder: string, home: string): Promise<Damageable> {
  const source = path.join(folder, 'sound.gguf');
  await runJob(convert({ model: orator, output: source, home }));
  const bytes = await readFile(source);
  const header = await readGguf(new MemorySource(bytes));
  return {
    bytes,
    header,
    async damaged(name, damage) {
      const copy = Buffer.from(bytes);
      const file = path.join(folder, name);
      await writeFile(file, damage(copy) ?? copy);
      return file;
    },
    placeOf(name, row, column) {
      const tensor = header.tensors.find((each) => each.name === name);
      if (tensor?.type !== 'BF16') throw new Error(`no BF16 tensor ${name}`);
      return tensor.offset + 2 * (row * tensor.shape[0] + column);
    },
  };
}
