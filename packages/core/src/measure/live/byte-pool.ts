/**
 * @file In the engine: memory for weights that take the places of others, used again and again. Made anew for every tensor it would
 * lie about until it is collected, and the peak would be that of two large tensors or more.
 */
import { alignedBytes } from '@bitsmith/ggml';

export class BytePool {
  /** Free arrays, largest last. */
  private readonly free: Uint8Array[] = [];
  private readonly owners = new Map<Uint8Array, Uint8Array>();

  /** Aligned bytes of any content, in the smallest free array that holds them, else in a new one. */
  take(byteLength: number): Uint8Array {
    const index = this.free.findIndex((array) => array.byteLength >= byteLength);
    // One that is too small gives way: what grows past it would never use it again.
    const [owner] = index >= 0 ? this.free.splice(index, 1) : (this.free.pop(), [alignedBytes(byteLength)]);
    const bytes = owner.subarray(0, byteLength);
    this.owners.set(bytes, owner);
    return bytes;
  }

  /** Takes back what `take` gave, once nothing reads it. */
  give(bytes: Uint8Array): void {
    const owner = this.owners.get(bytes);
    if (owner === undefined) return;
    this.owners.delete(bytes);
    this.free.push(owner);
    this.free.sort((a, b) => a.byteLength - b.byteLength);
  }
}
