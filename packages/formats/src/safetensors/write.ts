/**
 * @file Writes safetensors as the reference writer does, byte for byte: tensors sorted by element type (widest first), then
 * by name, the JSON padded with spaces so that data starts at a multiple of 8. Mirrors `read.ts`.
 */
import type { ByteSink } from '../io/byte-sink.js';
import { BoundedSink } from '../io/bounded-sink.js';
import { encodeUtf8, requireWellFormed } from '../text/utf8.js';
import { safetensorsDtypeNames, safetensorsDtypes } from './dtypes.js';
import { safetensorsError } from './fail.js';
import { MAX_HEADER_BYTES } from './read.js';
import type { SafetensorsLayout, SafetensorsTensorInfo, SafetensorsTensorSpec } from './types.js';
import { quote } from '../text/quote.js';

const HEADER_ALIGNMENT = 8;
const METADATA_KEY = '__metadata__';

export interface SafetensorsContents {
  readonly metadata?: ReadonlyMap<string, string>;
  readonly tensors: readonly SafetensorsTensorSpec[];
}

/**
 * Lays a file out; `tensors` of the result are in the order that their data must come.
 * @throws BitsmithError `SAFETENSORS_*` for names that repeat or are reserved, impossible shapes and over-long headers.
 */
export function layoutSafetensors(contents: SafetensorsContents): SafetensorsLayout {
  const specs = contents.tensors.map(checkedSpec).sort(compareSpecs);
  refuseRepeats(specs);
  let end = 0;
  const placed = specs.map((spec) => {
    const offset = end;
    end += spec.byteLength;
    return { ...spec, offset };
  });
  const header = encodeHeader(contents.metadata, placed);
  const tensors = placed.map((tensor) => ({ ...tensor, offset: tensor.offset + header.byteLength }));
  return { header, tensors, byteLength: header.byteLength + end };
}

/** Writes one tensor's data: exactly `tensor.byteLength` bytes into `sink`, in any number of pieces. */
export type SafetensorsTensorWriter = (
  tensor: SafetensorsTensorInfo,
  index: number,
  sink: ByteSink,
) => Promise<void>;

/**
 * Writes a laid-out file from start to end. `writeTensor` is called once a tensor, in the layout's order.
 * @throws BitsmithError `SAFETENSORS_TENSOR_BYTES` when a tensor's writer gives more or fewer bytes than the layout says.
 */
export async function writeSafetensors(
  sink: ByteSink,
  layout: SafetensorsLayout,
  writeTensor: SafetensorsTensorWriter,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  options.signal?.throwIfAborted();
  await sink.write(layout.header, options.signal);
  for (const [index, tensor] of layout.tensors.entries()) {
    options.signal?.throwIfAborted();
    const bounded = new BoundedSink(sink, tensor.byteLength, (found) => byteCountError(tensor, found));
    await writeTensor(tensor, index, bounded);
    bounded.finish();
  }
}

function byteCountError(tensor: SafetensorsTensorInfo, found: number): Error {
  return safetensorsError('SAFETENSORS_TENSOR_BYTES', `${quote(tensor.name)} got ${found} bytes of data`, {
    expected: `${tensor.byteLength} bytes of ${tensor.dtype}`,
    found: `${found} bytes`,
    suggestion: 'Write every element of the tensor, in the type that the layout names.',
  });
}

type SizedSpec = SafetensorsTensorSpec & { readonly byteLength: number };

function checkedSpec({ name, dtype, shape }: SafetensorsTensorSpec): SizedSpec {
  const byteLength = shape.reduce((product, extent) => product * extent, safetensorsDtypes[dtype] as number);
  if (
    shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0) &&
    Number.isSafeInteger(byteLength)
  ) {
    return { name, dtype, shape, byteLength };
  }
  throw safetensorsError('SAFETENSORS_TENSOR', `${quote(name)} has shape [${shape.join(', ')}]`, {
    expected: 'whole, non-negative axes and fewer than 2^53 bytes',
    suggestion: 'Correct the shape.',
  });
}

function compareSpecs(a: SizedSpec, b: SizedSpec): number {
  const byType = safetensorsDtypeNames.indexOf(b.dtype) - safetensorsDtypeNames.indexOf(a.dtype);
  if (byType !== 0) return byType;
  return a.name < b.name ? -1 : Number(a.name > b.name);
}

function refuseRepeats(specs: readonly SizedSpec[]): void {
  const names = new Set([METADATA_KEY]);
  for (const { name } of specs) {
    if (names.has(name)) {
      throw safetensorsError('SAFETENSORS_NAME', `the name ${quote(name)} is taken`, {
        expected: `unique names other than ${METADATA_KEY}`,
        suggestion: 'Rename or drop one of the two.',
      });
    }
    names.add(name);
  }
}

/** The JSON is put together entry by entry, because an object would move keys that look like numbers to the front. */
function encodeHeader(
  metadata: ReadonlyMap<string, string> | undefined,
  tensors: readonly SafetensorsTensorInfo[],
): Uint8Array {
  const entries: string[] = [];
  if (metadata !== undefined && metadata.size > 0) {
    const pairs = [...metadata].map(([key, value]) => `${jsonString(key)}:${jsonString(value)}`);
    entries.push(`"${METADATA_KEY}":{${pairs.join(',')}}`);
  }
  for (const { name, dtype, shape, offset, byteLength } of tensors) {
    const description = { dtype, shape, data_offsets: [offset, offset + byteLength] };
    entries.push(`${jsonString(name)}:${JSON.stringify(description)}`);
  }
  const json = encodeUtf8(`{${entries.join(',')}}`);
  const padding = (HEADER_ALIGNMENT - (json.byteLength % HEADER_ALIGNMENT)) % HEADER_ALIGNMENT;
  const length = json.byteLength + padding;
  if (length > MAX_HEADER_BYTES) {
    throw safetensorsError('SAFETENSORS_HEADER_SIZE', `the header would take ${length} bytes`, {
      expected: `at most ${MAX_HEADER_BYTES} bytes`,
      suggestion: 'Spread the tensors over several files.',
    });
  }
  const header = new Uint8Array(8 + length).fill(0x20);
  const view = new DataView(header.buffer);
  view.setUint32(0, length, true);
  view.setUint32(4, 0, true);
  header.set(json, 8);
  return header;
}

/** `JSON.stringify` would escape a lone surrogate, which the reference reader refuses. */
function jsonString(text: string): string {
  requireWellFormed(text, `the text ${quote(text)}`);
  return JSON.stringify(text);
}
