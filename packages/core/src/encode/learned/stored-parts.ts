/** @file Encoded tensors in files: by tensor and part, the bytes as a container would hold them. */
import {
  type AffineSpec,
  type AffineTensor,
  BitsmithError,
  decodeAffine,
  isTensorType,
  layoutSafetensors,
  readSafetensors,
  writeSafetensors,
} from '@bitsmith/formats';
import { decodeRows, type Engine } from '@bitsmith/ggml';
import { writeFresh } from '../../io/file-sink.js';
import { FileSource } from '../../io/file-source.js';
import { affineSpec } from '../../plan/affine-schemes.js';
import type { StorageType } from '../../plan/schemes.js';
import type { StoredParts } from './level-grid.js';

/** Writes tensors to a new file. */
export async function writeParts(path: string, tensors: ReadonlyMap<string, StoredParts>): Promise<void> {
  const named = new Map(
    [...tensors].flatMap(([name, parts]) =>
      Object.entries(parts).map(([part, bytes]) => [`${name}/${part}`, bytes]),
    ),
  );
  const layout = layoutSafetensors({
    tensors: [...named].map(([name, bytes]) => ({ name, dtype: 'U8', shape: [bytes.byteLength] })),
  });
  await writeFresh(path, (sink) =>
    writeSafetensors(sink, layout, async ({ name }, _, target) => {
      await target.write(named.get(name) as Uint8Array);
    }),
  );
}

/** Reads one tensor. @throws BitsmithError `ENCODED_NOT_FOUND` */
export async function readParts(path: string, tensor: string): Promise<StoredParts> {
  const source = await FileSource.open(path);
  try {
    const { tensors } = await readSafetensors(source);
    const parts: Record<string, Uint8Array> = {};
    for (const { name, offset, byteLength } of tensors) {
      if (!name.startsWith(`${tensor}/`)) continue;
      const bytes = new Uint8Array(byteLength);
      await source.readInto(bytes, offset);
      parts[name.slice(tensor.length + 1)] = bytes;
    }
    if (Object.keys(parts).length > 0) return parts;
  } finally {
    await source.close();
  }
  throw new BitsmithError(
    'validation',
    'ENCODED_NOT_FOUND',
    `expected ${tensor} among the encoded tensors of ${path}, found none of its bytes`,
    { suggestion: 'The artifact is damaged: remove it, and it is made again.' },
  );
}

/** A tensor's affine codes from their parts. */
export function affineOf(
  parts: StoredParts,
  spec: AffineSpec,
  rows: number,
  rowLength: number,
): AffineTensor {
  const { data, scales, zeroPoints } = parts;
  const whole = scales.slice().buffer;
  return {
    spec,
    rows,
    rowLength,
    data,
    scales: spec.scaleType === 'F16' ? new Uint16Array(whole) : new Float32Array(whole),
    zeroPoints,
  };
}

/** Fills `target` with the weights that the bytes stand for. */
export async function decodeParts(
  engine: Engine,
  scheme: StorageType,
  parts: StoredParts,
  { rows, rowLength }: { readonly rows: number; readonly rowLength: number },
  target: Float32Array,
): Promise<void> {
  const spec = affineSpec(scheme);
  if (spec !== undefined) decodeAffine(affineOf(parts, spec, rows, rowLength), target);
  else if (isTensorType(scheme))
    await decodeRows(engine, { type: scheme, bytes: parts.data, rows, rowLength }, target);
}
