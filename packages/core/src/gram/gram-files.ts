/** @file Gram matrices in their files: safetensors with two tensors each, packed correlations (I16) and the diagonal (F32). */
import { layoutSafetensors, readSafetensors, writeSafetensors } from '@bitsmith/formats';
import { FileSource } from '../io/file-source.js';
import { writeFresh } from '../io/file-sink.js';
import { correlationsBefore, packGram, unpackBand } from './packed-gram.js';
import { SPAN } from './span.js';
import { SpanTriangle } from './span-triangle.js';

/** Where a tensor's Gram matrix lies. */
export interface GramPlace {
  readonly path: string;
  readonly name: string;
}

const diagonalOf = (name: string): string => `${name}.diagonal`;

/** Writes matrices to a new file, by name. */
export async function writeGrams(path: string, grams: ReadonlyMap<string, SpanTriangle>): Promise<void> {
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

/** Span by span: what is packed is never in memory as a whole. */
export async function readGram({ path, name }: GramPlace): Promise<SpanTriangle> {
  const source = await FileSource.open(path);
  try {
    const { tensors } = await readSafetensors(source);
    const placeOf = (wanted: string) => tensors.find((tensor) => tensor.name === wanted);
    const [correlations, entries] = [placeOf(name), placeOf(diagonalOf(name))];
    if (correlations === undefined || entries === undefined)
      throw new Error(`no Gram matrix of ${name} in ${path}`);
    const diagonal = new Float32Array(entries.byteLength / 4);
    await source.readInto(bytesOf(diagonal), entries.offset);
    const triangle = new SpanTriangle(diagonal.length);
    const buffer = new Int16Array(SPAN * triangle.width);
    for (let span = 0; span < triangle.spans; span++) {
      const first = triangle.firstOf(span);
      const before = correlationsBefore(first);
      const rows = buffer.subarray(0, correlationsBefore(first + triangle.sizeOf(span)) - before);
      await source.readInto(bytesOf(rows), correlations.offset + 2 * before);
      unpackBand(triangle, span, rows, diagonal);
    }
    return triangle;
  } finally {
    await source.close();
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Int16Array | Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}
