/**
 * @file Looking at a graph while it is computed. The engine calls on the JavaScript thread, twice per node: first whether
 * the node's result is wanted, then with the result. The objects given are views that are moved from node to node, and
 * read native fields only when asked: keep what you need, not the objects.
 */
import { tensorTypeById, type TensorType } from '@bitsmith/formats';
import { tensorLayout } from '../binding/layout.js';
import type { NativeFunctions } from '../binding/libraries.js';
import { readFixedString, readInt32, readInt64, readPointer, viewMemory } from '../binding/memory.js';
import type { Address } from '../binding/structs.js';
import { misuse } from './validate.js';

export interface ObservedTensor {
  /** Where the native tensor lies; equal addresses within one callback are the same tensor. */
  readonly address: bigint;
  readonly name: string;
  /** Name of the operation that computes it; `NONE` for weights and inputs. */
  readonly op: string;
  readonly type: TensorType;
  /** Extents of the four axes, fastest first. */
  readonly shape: readonly [number, number, number, number];
  /** Bytes from one element to the next along each axis. */
  readonly strides: readonly [number, number, number, number];
  /** Where its data lies. */
  readonly dataAddress: bigint;
  /** Whether its data lies in main memory. */
  readonly onHost: boolean;
  /**
   * The data from its first element to its last, gaps included; in place where it lies in main memory, else a copy of
   * what lies on the device. F32 only. Valid until this tensor is read again, and during the callback only.
   */
  floats(): Float32Array;
  /** The same for I32. */
  integers(): Int32Array;
}

export interface ObservedNode extends ObservedTensor {
  /** @throws BitsmithError `NODE_SOURCE` when the node has no such source */
  source(index: number): ObservedTensor;
  readonly sourceCount: number;
}

/** What a context calls while it computes. Exceptions stop the computation and come out of `decode`. */
export interface NodeObserver {
  /** Whether the node's result is wanted. Called for every node: must be cheap. */
  wants(node: ObservedNode): boolean;
  /** The node with its result. */
  take(node: ObservedNode): void;
}

type Four = [number, number, number, number];
const at = (offset: number): bigint => BigInt(offset);
const offsets = {
  type: at(tensorLayout.type),
  buffer: at(tensorLayout.buffer),
  op: at(tensorLayout.op),
  viewSrc: at(tensorLayout.viewSrc),
  data: at(tensorLayout.data),
  name: at(tensorLayout.name),
  src: Array.from({ length: tensorLayout.sources }, (_, i) => at(tensorLayout.src + 8 * i)),
  ne: Array.from({ length: 4 }, (_, i) => at(tensorLayout.ne + 8 * i)),
  nb: Array.from({ length: 4 }, (_, i) => at(tensorLayout.nb + 8 * i)),
};

/** Views of native data by address: activations are computed into the same few places again and again. */
class DataViews {
  private readonly views = new Map<bigint, ArrayBuffer>();

  at(address: bigint, byteLength: number): ArrayBuffer {
    const known = this.views.get(address);
    if (known !== undefined && known.byteLength >= byteLength) return known;
    if (this.views.size > 512) this.views.clear();
    const view = viewMemory(address, byteLength);
    this.views.set(address, view);
    return view;
  }
}

/** What all views of one context share. */
export class GraphReader {
  readonly native: NativeFunctions;
  readonly data = new DataViews();
  private readonly opNames = new Map<number, string>();
  private readonly hostBuffers = new Map<bigint, boolean>();

  constructor(native: NativeFunctions) {
    this.native = native;
  }

  opName(op: number): string {
    let name = this.opNames.get(op);
    if (name === undefined) this.opNames.set(op, (name = this.native.ggml_op_name(op)));
    return name;
  }

  isHost(buffer: Address): boolean {
    let host = this.hostBuffers.get(buffer);
    if (host === undefined) {
      this.hostBuffers.set(buffer, (host = this.native.ggml_backend_buffer_is_host(buffer)));
    }
    return host;
  }
}

/** A native tensor seen from JavaScript; `address` may be moved to another tensor. */
export class TensorView implements ObservedTensor {
  address: bigint = 0n;
  protected readonly reader: GraphReader;
  /** Room for what lies on a device. */
  private copy = new ArrayBuffer(0);

  constructor(reader: GraphReader) {
    this.reader = reader;
  }

  get name(): string {
    return readFixedString(this.address + offsets.name, tensorLayout.nameLength);
  }

  get op(): string {
    return this.reader.opName(readInt32(this.address + offsets.op));
  }

  get type(): TensorType {
    const id = readInt32(this.address + offsets.type);
    const type = tensorTypeById(id);
    if (type === undefined) throw misuse('TENSOR_TYPE', 'a known tensor type', `type ${id}`);
    return type;
  }

  get shape(): Four {
    const { address } = this;
    return offsets.ne.map((offset) => readInt64(address + offset)) as Four;
  }

  get strides(): Four {
    const { address } = this;
    return offsets.nb.map((offset) => readInt64(address + offset)) as Four;
  }

  get dataAddress(): bigint {
    return readPointer(this.address + offsets.data) ?? 0n;
  }

  /** The buffer that the data lies in, or null before it was allocated. */
  get bufferAddress(): Address | null {
    const viewed = readPointer(this.address + offsets.viewSrc);
    return readPointer((viewed ?? this.address) + offsets.buffer);
  }

  get onHost(): boolean {
    const { bufferAddress } = this;
    return bufferAddress !== null && this.reader.isHost(bufferAddress);
  }

  floats(): Float32Array {
    const length = this.elementsSpanned('F32');
    return new Float32Array(this.dataOf(length * 4), 0, length);
  }

  integers(): Int32Array {
    const length = this.elementsSpanned('I32');
    return new Int32Array(this.dataOf(length * 4), 0, length);
  }

  private dataOf(byteLength: number): ArrayBuffer {
    if (this.onHost) return this.reader.data.at(this.dataAddress, byteLength);
    if (this.copy.byteLength < byteLength) this.copy = new ArrayBuffer(byteLength);
    const bytes = new Uint8Array(this.copy, 0, byteLength);
    this.reader.native.ggml_backend_tensor_get(this.address, bytes, 0, byteLength);
    return this.copy;
  }

  private elementsSpanned(expected: 'F32' | 'I32'): number {
    const { type, shape, strides, dataAddress, bufferAddress } = this;
    if (type !== expected) throw misuse('NODE_TYPE', `a tensor of ${expected}`, `${type} (${this.name})`);
    if (dataAddress === 0n || bufferAddress === null) {
      throw misuse('NODE_NOT_ALLOCATED', 'a tensor with data', `${this.name} without`);
    }
    let bytes = 4;
    for (let axis = 0; axis < 4; axis++) {
      if (shape[axis] === 0) return 0;
      bytes += (shape[axis] - 1) * strides[axis];
    }
    return bytes / 4;
  }
}

/** A graph node; its sources are views that move with it. */
export class NodeView extends TensorView implements ObservedNode {
  private readonly sources: TensorView[];

  constructor(reader: GraphReader) {
    super(reader);
    this.sources = Array.from({ length: tensorLayout.sources }, () => new TensorView(reader));
  }

  get sourceCount(): number {
    let count = 0;
    while (count < tensorLayout.sources && this.sourceAddress(count) !== null) count += 1;
    return count;
  }

  source(index: number): TensorView {
    const address = this.sourceAddress(index);
    if (address === null) {
      throw misuse(
        'NODE_SOURCE',
        `a source ${index} of ${this.op} ${this.name}`,
        `${this.sourceCount} sources`,
      );
    }
    const view = this.sources[index];
    view.address = address;
    return view;
  }

  private sourceAddress(index: number): Address | null {
    const offset = offsets.src[index];
    return offset === undefined ? null : readPointer(this.address + offset);
  }
}
