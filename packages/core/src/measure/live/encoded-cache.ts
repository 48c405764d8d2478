/**
 * @file In the engine: encoded tensors that will be wanted again. A search tries plans that share most of what they change, and
 * encoding a tensor anew takes longer than running text through a small model. The least recently used give way.
 */
import { alignedBytes } from '@bitsmith/ggml';

export class EncodedCache {
  private readonly limitBytes: number;
  /** Least recently used first. */
  private readonly kept = new Map<string, Uint8Array>();
  private keptBytes = 0;

  /** @param limitBytes all that is kept together; 0 keeps nothing */
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  get(key: string): Uint8Array | undefined {
    const bytes = this.kept.get(key);
    if (bytes === undefined) return undefined;
    this.kept.delete(key);
    this.kept.set(key, bytes);
    return bytes;
  }

  /** True for a tensor that leaves room for others. */
  takes(byteLength: number): boolean {
    return byteLength * LEAST_TENSORS <= this.limitBytes;
  }

  /** Aligned memory for a tensor that `takes` allows; `keep` it once it is filled. */
  allocate(byteLength: number): Uint8Array {
    this.makeRoom(byteLength);
    return alignedBytes(byteLength);
  }

  keep(key: string, bytes: Uint8Array): void {
    this.makeRoom(bytes.byteLength);
    this.kept.set(key, bytes);
    this.keptBytes += bytes.byteLength;
  }

  /** What still computes with bytes that go keeps them alive itself. */
  private makeRoom(byteLength: number): void {
    for (const [oldest, bytes] of this.kept) {
      if (this.keptBytes + byteLength <= this.limitBytes) return;
      this.kept.delete(oldest);
      this.keptBytes -= bytes.byteLength;
    }
  }
}

/** A tensor larger than a share of the limit would push out everything else. */
const LEAST_TENSORS = 8;

/** The last cache of this process, and what its bytes were encoded from. */
let shared: { readonly of: string; readonly limitBytes: number; readonly cache: EncodedCache } | null = null;

/**
 * The cache that outlives a task: the next task on the same weights and importance matrix finds what this one encoded.
 * @param of names the weights and the matrix
 */
export function sharedEncodedCache(of: string, limitBytes: number): EncodedCache {
  if (limitBytes === 0) return new EncodedCache(0);
  if (shared?.of !== of || shared.limitBytes !== limitBytes)
    shared = { of, limitBytes, cache: new EncodedCache(limitBytes) };
  return shared.cache;
}
