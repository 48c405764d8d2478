/** @file The bundled model cut to its first blocks: the same in everything that a stage looks at, and a fraction of its work. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { layoutSafetensors, MemorySource, readSafetensors } from '@bitsmith/formats';
import { orator } from './jobs.js';

const BLOCKS = 2;
const WEIGHTS = 'model.safetensors';

/** Writes it as a Hugging Face folder. */
export async function writeShortModel(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const name of ['tokenizer.json', 'tokenizer_config.json', 'generation_config.json'])
    await cp(path.join(orator, name), path.join(folder, name));
  const config = JSON.parse(await readFile(path.join(orator, 'config.json'), 'utf8')) as object;
  await writeFile(path.join(folder, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: BLOCKS }));
  const bytes = await readFile(path.join(orator, WEIGHTS));
  await writeFile(path.join(folder, WEIGHTS), await firstBlocks(bytes));
}

async function firstBlocks(bytes: Uint8Array): Promise<Uint8Array> {
  const { metadata, tensors } = await readSafetensors(new MemorySource(bytes));
  const isKept = (name: string): boolean => Number(/\.layers\.(\d+)\./.exec(name)?.[1] ?? 0) < BLOCKS;
  const layout = layoutSafetensors({ metadata, tensors: tensors.filter(({ name }) => isKept(name)) });
  const short = new Uint8Array(layout.byteLength);
  short.set(layout.header);
  for (const { name, offset } of layout.tensors) {
    const source = tensors.find((tensor) => tensor.name === name);
    if (source !== undefined)
      short.set(bytes.subarray(source.offset, source.offset + source.byteLength), offset);
  }
  return short;
}
