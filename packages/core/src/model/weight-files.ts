/** @file The weights of an opened model, read by tensor name and byte range from one GGUF or all of its splits. */
import { BitsmithError, type GgufTensorInfo, readGguf, tensorTypes } from '@bitsmith/formats';
import { FileSource } from '../io/file-source.js';

/** A stored tensor's rows: `rowLength` weights in `rowBytes` bytes each. */
export interface StoredTensor extends GgufTensorInfo {
  readonly rowLength: number;
  readonly rows: number;
  readonly rowBytes: number;
}

interface Place {
  readonly source: FileSource;
  readonly tensor: StoredTensor;
}

export class WeightFiles {
  private readonly sources: FileSource[] = [];
  private readonly places = new Map<string, Place>();

  private constructor() {}

  static async open(paths: readonly string[], signal?: AbortSignal): Promise<WeightFiles> {
    const files = new WeightFiles();
    try {
      for (const path of paths) {
        const source = await FileSource.open(path, signal);
        files.sources.push(source);
        const gguf = await readGguf(source, { signal });
        for (const tensor of gguf.tensors)
          files.places.set(tensor.name, { source, tensor: withRows(tensor) });
      }
      return files;
    } catch (error) {
      await files.close();
      throw error;
    }
  }

  get names(): string[] {
    return [...this.places.keys()];
  }

  has(name: string): boolean {
    return this.places.has(name);
  }

  /** @throws BitsmithError `TENSOR_NOT_FOUND` */
  tensor(name: string): StoredTensor {
    return this.place(name).tensor;
  }

  /** Fills `target` with whole rows of a tensor, from `firstRow`. */
  async readRows(name: string, firstRow: number, target: Uint8Array, signal?: AbortSignal): Promise<void> {
    const { source, tensor } = this.place(name);
    await source.readInto(target, tensor.offset + firstRow * tensor.rowBytes, signal);
  }

  async close(): Promise<void> {
    await Promise.all(this.sources.map((source) => source.close()));
  }

  private place(name: string): Place {
    const place = this.places.get(name);
    if (place === undefined) {
      throw new BitsmithError(
        'validation',
        'TENSOR_NOT_FOUND',
        `expected a tensor named ${name} in ${this.sources[0]?.path}, found none`,
        {
          suggestion: 'The file does not belong to this plan or importance matrix.',
        },
      );
    }
    return place;
  }
}

function withRows(tensor: GgufTensorInfo): StoredTensor {
  const rowLength = tensor.shape[0];
  const { blockSize, blockBytes } = tensorTypes[tensor.type];
  const rowBytes = (rowLength / blockSize) * blockBytes;
  return { ...tensor, rowLength, rowBytes, rows: tensor.byteLength / rowBytes };
}
