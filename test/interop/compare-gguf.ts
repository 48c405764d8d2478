/** @file All differences between two GGUF files, in words: keys and their order, value types, values, tensors, bytes. */
import {
  type ByteSource,
  decodeFloats,
  type GgufArray,
  type GgufFile,
  type GgufTensorInfo,
  type GgufValue,
  MemorySource,
  readBytes,
  readGguf,
} from '@bitsmith/formats';

/** What the reference writes in no fixed order: a key that lists a Python set, and keys in the order of a folder's listing. */
const unordered = new Set(['tokenizer.chat_templates']);
const UNORDERED_KEY = /^tokenizer\.chat_template\../;

/**
 * Tensors that the reference computes with PyTorch's float32 power, whose last bit differs between processors. They may differ by
 * two units in the last place; every other tensor is equal byte for byte.
 */
const computed = new Set(['rope_freqs.weight']);
const LAST_PLACES = 2.5e-7;

export async function differences(ours: Uint8Array, reference: Uint8Array): Promise<string[]> {
  const [a, b] = [new MemorySource(ours), new MemorySource(reference)];
  const [ourFile, referenceFile] = [await readGguf(a), await readGguf(b)];
  return [
    ...metadataDifferences(ourFile, referenceFile),
    ...tensorListDifferences(ourFile, referenceFile),
    ...(await tensorDifferences(ourFile, a, referenceFile, b)),
  ];
}

function metadataDifferences(ours: GgufFile, reference: GgufFile): string[] {
  const found: string[] = [];
  const [ourKeys, keys] = [[...ours.metadata.keys()], [...reference.metadata.keys()]];
  for (const key of keys) if (!ours.metadata.has(key)) found.push(`missing key ${key}`);
  for (const key of ourKeys) if (!reference.metadata.has(key)) found.push(`extra key ${key}`);
  const ordered = (list: readonly string[]): string => list.filter((key) => !UNORDERED_KEY.test(key)).join();
  if (found.length === 0 && ordered(ourKeys) !== ordered(keys)) {
    found.push(`key order ${ordered(ourKeys)} instead of ${ordered(keys)}`);
  }
  for (const [key, value] of reference.metadata) {
    const our = ours.metadata.get(key);
    if (our !== undefined) found.push(...valueDifferences(key, our, value));
  }
  return found;
}

function valueDifferences(key: string, ours: GgufValue, reference: GgufValue): string[] {
  if (ours.type !== reference.type) return [`${key}: type ${ours.type} instead of ${reference.type}`];
  if (ours.type === 'array' && reference.type === 'array') return arrayDifferences(key, ours, reference);
  const [a, b] = [plain(ours.value), plain(reference.value)];
  return Object.is(a, b) ? [] : [`${key}: ${a} instead of ${b}`];
}

function arrayDifferences(key: string, ours: GgufArray, reference: GgufArray): string[] {
  if (ours.itemType !== reference.itemType) {
    return [`${key}: items of ${ours.itemType} instead of ${reference.itemType}`];
  }
  let [a, b] = [Array.from(ours.value, plain), Array.from(reference.value, plain)];
  if (unordered.has(key)) [a, b] = [a.toSorted(), b.toSorted()];
  const found = a.length === b.length ? [] : [`${key}: ${a.length} items instead of ${b.length}`];
  for (let index = 0; index < Math.min(a.length, b.length) && found.length < 8; index += 1) {
    if (!Object.is(a[index], b[index])) {
      found.push(`${key}[${index}]: ${JSON.stringify(a[index])} instead of ${JSON.stringify(b[index])}`);
    }
  }
  return found;
}

function plain(value: unknown): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  return typeof value === 'bigint' ? `${value}n` : value;
}

const describe = ({ name, type, shape }: GgufTensorInfo): string => `${name} ${type} [${shape.join(', ')}]`;

function tensorListDifferences(ours: GgufFile, reference: GgufFile): string[] {
  const [a, b] = [ours.tensors.map(describe), reference.tensors.map(describe)];
  const missing = b.filter((tensor) => !a.includes(tensor)).map((tensor) => `missing tensor ${tensor}`);
  const extra = a.filter((tensor) => !b.includes(tensor)).map((tensor) => `extra tensor ${tensor}`);
  const order = missing.length + extra.length === 0 && a.join() !== b.join() ? ['the order of tensors'] : [];
  return [...missing, ...extra, ...order];
}

async function tensorDifferences(
  ours: GgufFile,
  ourSource: ByteSource,
  reference: GgufFile,
  source: ByteSource,
): Promise<string[]> {
  const found: string[] = [];
  for (const tensor of reference.tensors) {
    const our = ours.tensors.find(({ name }) => name === tensor.name);
    if (our === undefined || our.byteLength !== tensor.byteLength) continue;
    const a = await readBytes(ourSource, our.offset, our.byteLength);
    const b = await readBytes(source, tensor.offset, tensor.byteLength);
    if (computed.has(tensor.name) && nearlyEqual(decodeFloats('F32', a), decodeFloats('F32', b))) continue;
    const at = a.findIndex((byte, index) => byte !== b[index]);
    if (at >= 0) found.push(`${tensor.name}: byte ${at} of ${b.byteLength} is ${a[at]} instead of ${b[at]}`);
  }
  return found;
}

function nearlyEqual(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, index) => Math.abs(value / b[index] - 1) < LAST_PLACES);
}
