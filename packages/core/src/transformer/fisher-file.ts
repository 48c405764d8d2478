/** @file The squared gradients of one sequence as a safetensors file: four vectors a tensor, and the labels drawn. */
import { layoutSafetensors, readSafetensors, writeSafetensors } from '@bitsmith/formats';
import { FileSource } from '../io/file-source.js';
import { writeFresh } from '../io/file-sink.js';
import type { SequenceGradients } from './sequence-gradients.js';
import type { SquaredGradient } from './squared-gradient.js';

const parts = ['rows', 'columns', 'energy', 'growth'] as const;

export async function writeGradients(path: string, { labels, squared }: SequenceGradients): Promise<void> {
  const arrays = new Map<string, Float32Array | Int32Array>([['labels', labels]]);
  for (const [name, vectors] of squared)
    for (const part of parts) arrays.set(`${name}/${part}`, vectors[part]);
  const layout = layoutSafetensors({
    tensors: [...arrays].map(([name, array]) => ({
      name,
      dtype: array instanceof Int32Array ? 'I32' : 'F32',
      shape: [array.length],
    })),
  });
  await writeFresh(path, (sink) =>
    writeSafetensors(sink, layout, async ({ name }, _, target) => {
      const array = arrays.get(name) as Float32Array;
      await target.write(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
    }),
  );
}

/** The files of several sequences, read tensor by tensor. */
export class GradientFiles {
  private readonly sources: readonly FileSource[];
  private readonly offsets: readonly ReadonlyMap<string, { offset: number; byteLength: number }>[];

  private constructor(sources: readonly FileSource[], offsets: GradientFiles['offsets']) {
    this.sources = sources;
    this.offsets = offsets;
  }

  static async open(paths: readonly string[], signal?: AbortSignal): Promise<GradientFiles> {
    const sources: FileSource[] = [];
    try {
      for (const path of paths) sources.push(await FileSource.open(path, signal));
      const offsets = await Promise.all(
        sources.map(async (source) => {
          const { tensors } = await readSafetensors(source, { signal });
          return new Map(tensors.map((tensor) => [tensor.name, tensor]));
        }),
      );
      return new GradientFiles(sources, offsets);
    } catch (error) {
      await Promise.all(sources.map((source) => source.close()));
      throw error;
    }
  }

  has(tensor: string): boolean {
    return this.offsets.every((offsets) => offsets.has(`${tensor}/rows`));
  }

  /** One a sequence, in the order of the paths. */
  async read(tensor: string): Promise<SquaredGradient[]> {
    return await Promise.all(
      this.sources.map(async (_, sequence) => ({
        rows: await this.vector(sequence, `${tensor}/rows`),
        columns: await this.vector(sequence, `${tensor}/columns`),
        energy: await this.vector(sequence, `${tensor}/energy`),
        growth: await this.vector(sequence, `${tensor}/growth`),
      })),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.sources.map((source) => source.close()));
  }

  private async vector(sequence: number, name: string): Promise<Float32Array> {
    const place = this.offsets[sequence].get(name);
    if (place === undefined) throw new Error(`no ${name} among the gradients of sequence ${sequence}`);
    const bytes = new Uint8Array(place.byteLength);
    await this.sources[sequence].readInto(bytes, place.offset);
    return new Float32Array(bytes.buffer);
  }
}
