/** @file Gram matrices in their files. */
import { alignedFloats } from '@bitsmith/ggml';
import { readSafetensors } from '@bitsmith/formats';
import { FileSource } from '../../io/file-source.js';

/** Where a tensor's Gram matrix lies. */
export interface GramPlace {
  readonly path: string;
  readonly name: string;
}

/** [row length, row length] */
export async function readGram({ path, name }: GramPlace): Promise<Float32Array> {
  const source = await FileSource.open(path);
  try {
    const { tensors } = await readSafetensors(source);
    const place = tensors.find((tensor) => tensor.name === name);
    if (place === undefined) throw new Error(`no Gram matrix of ${name} in ${path}`);
    const gram = alignedFloats(place.byteLength / 4);
    await source.readInto(new Uint8Array(gram.buffer, gram.byteOffset, gram.byteLength), place.offset);
    return gram;
  } finally {
    await source.close();
  }
}
