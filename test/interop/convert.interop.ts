/**
 * @file The converter against llama.cpp's own, on one small random model for each family and each turn that a configuration or a
 * tokenizer can take. `run.mjs` makes the models and runs the reference.
 */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { MemorySink } from '@bitsmith/formats';
import { describe, expect, test } from 'vitest';
import {
  convertHuggingFace,
  openLocalFolder,
  writeConvertedModel,
} from '../../packages/core/src/model/huggingface/index.js';
import cases from './cases.json' with { type: 'json' };
import { differences } from './compare-gguf.js';
import { places } from './workspace.mjs';

async function converted(location: string): Promise<Uint8Array> {
  const folder = await openLocalFolder(location);
  try {
    const sink = new MemorySink();
    await writeConvertedModel(await convertHuggingFace(folder), sink);
    return sink.toBytes();
  } finally {
    await folder.close();
  }
}

describe('every key, value and tensor equals the reference', () => {
  const locations = [
    ...Object.keys(cases).map((name) => path.join(places.models, name)),
    places.bundledModel,
  ];
  test.each(locations.map((location) => ({ name: path.basename(location), location })))(
    '$name',
    async (each) => {
      const { name, location } = each;
      const reference = await readFile(path.join(places.reference, `${name}.gguf`));
      const ours = await converted(location);
      expect(await differences(ours, reference)).toEqual([]);
      expect(ours.byteLength).toBe(reference.byteLength);
    },
  );
});
