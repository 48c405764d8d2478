/**
 * @file Weights of a live model, replaced and restored without copying the model. A weight is a native struct that names
 * its type, its strides and where its data lies; those fields are pointed at other bytes, and the kernels of that other
 * type then compute with them, as they would from a written file. The mapped file itself is never touched. Structs are
 * found by watching one token pass through the graph, which works for every architecture.
 */
import { tensorTypeById, tensorTypes, type TensorType } from '@bitsmith/formats';
import { ggmlTypes, tensorLayout } from '../binding/layout.js';
import {
  addressOf,
  readInt32,
  readInt64,
  readPointer,
  writeInt32,
  writeInt64,
  writePointer,
} from '../binding/memory.js';
import type { Address } from '../binding/structs.js';
import { weightAlignment } from './aligned.js';
import { LlamaContext } from './context.js';
import type { LlamaModel } from './model.js';
import type { ObservedNode } from './observe.js';
import { assertLength, assertWeightType, encodedByteLength, misuse } from './validate.js';

/** Operations that can read a matrix in any weight type. */
const readers: ReadonlySet<string> = new Set(['MUL_MAT', 'MUL_MAT_ID', 'GET_ROWS']);

/** The fields of one native struct, as the model was loaded. */
interface Original {
  readonly address: Address;
  readonly type: TensorType;
  readonly strides: readonly number[];
  readonly data: Address;
}

interface Slot {
  readonly shape: readonly number[];
  /** One struct, or several where a tied weight was given a second one. */
  readonly originals: readonly Original[];
  readonly onHost: boolean;
}

/** One per model, kept as long as the model: it holds the bytes that the model reads. */
const discovered = new WeakMap<LlamaModel, WeightSlots>();

export class WeightSlots {
  private readonly model: LlamaModel;
  private readonly slots: ReadonlyMap<string, Slot>;
  private readonly replacements = new Map<string, { type: TensorType; bytes: Uint8Array }>();

  private constructor(model: LlamaModel, slots: ReadonlyMap<string, Slot>) {
    this.model = model;
    this.slots = slots;
  }

  /** Finds the replaceable weights of a model (given itself, or by one of its contexts). */
  static discover(from: LlamaModel | LlamaContext): WeightSlots {
    const model = from instanceof LlamaContext ? from.model : from;
    model.lifetime.assertAlive();
    let slots = discovered.get(model);
    if (slots === undefined) {
      slots = new WeightSlots(model, findSlots(model));
      discovered.set(model, slots);
    }
    return slots;
  }

  /** Names of the weights that can be replaced, in the order in which the graph uses them. */
  get names(): readonly string[] {
    return [...this.slots.keys()];
  }

  has(name: string): boolean {
    return this.slots.has(name);
  }

  /** Shape in ggml order (row length first) and the type the model was loaded with. */
  describe(name: string): {
    readonly type: TensorType;
    readonly shape: readonly number[];
    readonly replacedBy: TensorType | null;
  } {
    const slot = this.slot(name);
    return {
      type: slot.originals[0].type,
      shape: slot.shape,
      replacedBy: this.replacements.get(name)?.type ?? null,
    };
  }

  /**
   * Makes the model compute with `bytes`, the whole tensor in `type`, from the next decode on. The array is read in place:
   * it must start on a multiple of 64 (`alignedBytes`) and must not change until the weight is restored.
   * @throws BitsmithError `WEIGHT_UNKNOWN`, `WEIGHT_NOT_ON_HOST`, `WEIGHT_MISALIGNED`, `BUFFER_SIZE`, `ROW_NOT_BLOCKS`
   */
  replace(name: string, type: TensorType, bytes: Uint8Array): void {
    this.model.assertIdle();
    const slot = this.slot(name);
    assertWeightType(type);
    const [rowLength, ...axes] = slot.shape;
    const rows = axes.reduce((product, extent) => product * extent, 1);
    assertLength(`${name} in ${type}`, 'bytes', bytes.byteLength, encodedByteLength(type, rows, rowLength));
    if (!slot.onHost) {
      throw misuse(
        'WEIGHT_NOT_ON_HOST',
        `${name} in main memory`,
        'a copy on another device',
        'Open the model with gpuLayers: 0.',
      );
    }
    const data = addressOf(bytes);
    if (data % BigInt(weightAlignment) !== 0n) {
      throw misuse(
        'WEIGHT_MISALIGNED',
        `bytes that start on a multiple of ${weightAlignment}`,
        `address ${data}`,
        'Allocate them with alignedBytes().',
      );
    }
    const strides = stridesOf(type, slot.shape);
    for (const { address } of slot.originals) patch(address, type, strides, data);
    this.replacements.set(name, { type, bytes });
  }

  /** Puts one weight back exactly as it was loaded. */
  restore(name: string): void {
    this.model.assertIdle();
    const slot = this.slot(name);
    for (const { address, type, strides, data } of slot.originals) patch(address, type, strides, data);
    this.replacements.delete(name);
  }

  restoreAll(): void {
    for (const name of this.replacements.keys()) this.restore(name);
  }

  private slot(name: string): Slot {
    const slot = this.slots.get(name);
    if (slot === undefined) {
      throw misuse(
        'WEIGHT_UNKNOWN',
        'the name of a weight matrix that the model multiplies by or looks up',
        name,
      );
    }
    return slot;
  }
}

function patch(address: Address, type: TensorType, strides: readonly number[], data: Address): void {
  writeInt32(address + BigInt(tensorLayout.type), ggmlTypes[type]);
  strides.forEach((stride, axis) => writeInt64(address + BigInt(tensorLayout.nb + 8 * axis), stride));
  writePointer(address + BigInt(tensorLayout.data), data);
}

/** Strides of a contiguous tensor, in bytes. */
function stridesOf(type: TensorType, shape: readonly number[]): number[] {
  const { blockSize, blockBytes } = tensorTypes[type];
  const row = (shape[0] / blockSize) * blockBytes;
  return [blockBytes, row, row * shape[1], row * shape[1] * shape[2]];
}

interface Sighting {
  readonly name: string;
  readonly operations: Set<string>;
  readonly onHost: boolean;
}

function findSlots(model: LlamaModel): Map<string, Slot> {
  const seen = watchOneToken(model);
  const slots = new Map<string, Slot>();
  for (const [address, { name, operations, onHost }] of seen) {
    if (![...operations].every((operation) => readers.has(operation))) continue;
    const { shape, original } = readOriginal(address);
    if (!original.strides.every((stride, axis) => stride === stridesOf(original.type, shape)[axis])) continue;
    const known = slots.get(name);
    slots.set(name, {
      shape,
      originals: [...(known?.originals ?? []), original],
      onHost: onHost && (known?.onHost ?? true),
    });
  }
  return slots;
}

function readOriginal(address: Address): { shape: number[]; original: Original } {
  const four = (offset: number): number[] =>
    [0, 1, 2, 3].map((axis) => readInt64(address + BigInt(offset + 8 * axis)));
  const id = readInt32(address + BigInt(tensorLayout.type));
  const type = tensorTypeById(id);
  const data = readPointer(address + BigInt(tensorLayout.data));
  if (type === undefined || data === null) {
    throw misuse('TENSOR_TYPE', 'weights of a known type with data', `type ${id}`);
  }
  return { shape: four(tensorLayout.ne), original: { address, type, strides: four(tensorLayout.nb), data } };
}

/** Every weight matrix that a single token's graph reads, with the operations that read it. */
function watchOneToken(model: LlamaModel): Map<Address, Sighting> {
  const seen = new Map<Address, Sighting>();
  const wants = (node: ObservedNode): boolean => {
    for (let index = 0; index < node.sourceCount; index++) {
      const source = node.source(index);
      if (source.op !== 'NONE' || !source.name.endsWith('.weight')) continue;
      const operation = index === 0 ? node.op : `${node.op}:${index}`;
      const known = seen.get(source.address);
      if (known !== undefined) known.operations.add(operation);
      else
        seen.set(source.address, {
          name: source.name,
          operations: new Set([operation]),
          onHost: source.onHost,
        });
    }
    return false;
  };
  const context = LlamaContext.create(model, {
    contextTokens: 32,
    batchTokens: 1,
    observe: { wants, take: () => undefined },
  });
  try {
    context.decode({
      tokens: Int32Array.of(model.vocabulary.bos ?? 0),
      positions: Int32Array.of(0),
      sequenceIds: Int32Array.of(0),
      outputs: Uint8Array.of(1),
    });
  } finally {
    context.dispose();
  }
  return seen;
}
