/**
 * @file In the engine: the set of changes that the live model computes with. Going from one set to the next touches only
 * what differs: a tensor that stays as it is keeps its bytes, one that leaves the set is restored exactly and its bytes hold
 * the next.
 */
import type { WeightSlots } from '@bitsmith/ggml';
import { changeKey, type TensorChange } from './change.js';
import { changedBytes, type ChangeSource } from './changed-bytes.js';

export class LiveWeights {
  private readonly slots: WeightSlots;
  private readonly source: ChangeSource;
  /** Key and bytes of each change that is in place, by tensor. */
  private readonly applied = new Map<string, { readonly key: string; readonly bytes: Uint8Array }>();

  constructor(slots: WeightSlots, source: ChangeSource) {
    this.slots = slots;
    this.source = source;
  }

  /**
   * Makes exactly these changes be in place.
   * @throws BitsmithError what an encoder refuses
   */
  async set(changes: readonly TensorChange[]): Promise<void> {
    const wanted = new Map(changes.map(({ tensor, change }) => [tensor, change]));
    for (const [tensor, { key }] of this.applied) {
      const change = wanted.get(tensor);
      if (change === undefined || changeKey(change) !== key) this.restore(tensor);
    }
    for (const [tensor, change] of wanted) {
      if (this.applied.has(tensor)) continue;
      const { type, bytes } = await changedBytes(this.source, tensor, change);
      this.slots.replace(tensor, type, bytes);
      this.applied.set(tensor, { key: changeKey(change), bytes });
    }
  }

  /** Puts every weight back as it was loaded. */
  restoreAll(): void {
    for (const tensor of this.applied.keys()) this.restore(tensor);
  }

  private restore(tensor: string): void {
    this.slots.restore(tensor);
    const bytes = this.applied.get(tensor)?.bytes;
    if (bytes !== undefined) this.source.pool.give(bytes);
    this.applied.delete(tensor);
  }
}
