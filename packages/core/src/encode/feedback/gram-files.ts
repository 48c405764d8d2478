/** @file Gram matrices in their files: safetensors with two tensors each, packed correlations (I16) and the diagonal (F32). */
import { alignedFloats } from '@bitsmith/ggml';
import { layoutSafetensors, readSafetensors, writeSafetensors } from '@bitsmith/formats';
import { FileSource } from '../../io/file-source.js';
import { writeFresh } from '../../io/file-sink.js';
import { packGram, type PackedGram, unpackGram } from './packed-gram.js';

/** Where a tensor's Gram matrix lies. */
export interface GramPlace {
  readonly path: string;
  readonly name: string;
}

const diagonalOf = (name: string): string => `${name}.diagonal`;

/** Matrices of floats, [width, width] each, into a new file. */
export async function writeGrams(path: string, grams: ReadonlyMap<string, Float32Array>): Promise<void> {
  const parts = new Map<string, Int16Array | Float32Array>();
  for (const [name, gram] of grams) {
    const { correlations, diagonal } = packGram(gram);
    parts.set(name, correlations).set(diagonalOf(name), diagonal);
  }
  const layout = layoutSafetensors({
    tensors: [...parts].map(([name, part]) => {
      const dtype = part instanceof Int16Array ? 'I16' : 'F32';
      return { name, dtype, shape: [part.length] };
    }),
  });
  await writeFresh(path, (sink) =>
    writeSafetensors(sink, layout, async ({ name }, _, target) => {
      await target.write(bytesOf(parts.get(name) as Int16Array | Float32Array));
    }),
  );
}

export async function readPackedGram({ path, name }: GramPlace): Promise<PackedGram> {
  const source = await FileSource.open(path);
  try {
    const { tensors } = await readSafetensors(source);
    const placeOf = (wanted: string) => tensors.find((tensor) => tensor.name === wanted);
    const [correlations, diagonal] = [placeOf(name), placeOf(diagonalOf(name))];
    if (correlations === undefined || diagonal === undefined)
      throw new Error(`no Gram matrix of ${name} in ${path}`);
    const packed = {
      width: diagonal.byteLength / 4,
      correlations: new Int16Array(correlations.byteLength / 2),
      diagonal: new Float32Array(diagonal.byteLength / 4),
    };
    await source.readInto(bytesOf(packed.correlations), correlations.offset);
    await source.readInto(bytesOf(packed.diagonal), diagonal.offset);
    return packed;
  } finally {
    await source.close();
  }
}

/** [row length, row length] */
export async function readGram(place: GramPlace): Promise<Float32Array> {
  const packed = await readPackedGram(place);
  const gram = alignedFloats(packed.width ** 2);
  unpackGram(packed, gram);
  return gram;
}

function bytesOf({ buffer, byteOffset, byteLength }: Int16Array | Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
