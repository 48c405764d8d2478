/**
 * @file In the engine: encoded tensors that will be wanted again. A search tries plans that share most of what they change, the plan that
 * was measured is the one that is written, and encoding a tensor anew takes longer than running text through a small model. The
 * least recently used give way.
 */
import { alignedBytes } from '@bitsmith/ggml';
import type { StorageType } from '../plan/schemes.js';
import type { RoundingParameters } from '../gram/rounding.js';

/** What encoded bytes depend on besides tensor and scheme. */
export interface EncodedFrom {
  readonly files: readonly string[];
  readonly importancePath: string;
  readonly rounding?: RoundingParameters | null;
}

export class EncodedCache {
  private limitBytes: number;
  /** Least recently used first. */
  private readonly kept = new Map<string, Uint8Array>();
  private keptBytes = 0;

  /** @param limitBytes all that is kept together; 0 keeps nothing */
  constructor(limitBytes: number) {
    this.limitBytes = limitBytes;
  }

  /** Room that has become more, or less. */
  resize(limitBytes: number): void {
    this.limitBytes = limitBytes;
    this.makeRoom(0);
  }

  get(tensor: string, scheme: StorageType): Uint8Array | undefined {
    const key = keyOf(tensor, scheme);
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

  keep(tensor: string, scheme: StorageType, bytes: Uint8Array): void {
    this.makeRoom(bytes.byteLength);
    this.kept.set(keyOf(tensor, scheme), bytes);
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
let shared: { readonly of: string; readonly cache: EncodedCache } | null = null;

/** The cache that outlives a task: the next task on the same weights and statistics finds what this one encoded. */
export function sharedEncodedCache(from: EncodedFrom, limitBytes: number): EncodedCache {
  if (limitBytes === 0) return new EncodedCache(0);
  const of = JSON.stringify([from.files, from.importancePath, from.rounding ?? null]);
  if (shared?.of !== of) shared = { of, cache: new EncodedCache(limitBytes) };
  shared.cache.resize(limitBytes);
  return shared.cache;
}

function keyOf(tensor: string, scheme: StorageType): string {
  return `${tensor} ${scheme}`;
}
