/**
 * @file The largest of very many values, in the memory of those that are kept: a binary heap, the smallest kept one on top, of
 * equal ones the last. Keys rise from offer to offer.
 */

export class TopValues {
  private readonly values: Float64Array;
  private readonly keys: Float64Array;
  private count = 0;

  /** @param capacity how many are kept */
  constructor(capacity: number) {
    this.values = new Float64Array(capacity);
    this.keys = new Float64Array(capacity);
  }

  /** What a value must exceed to be kept. */
  get threshold(): number {
    return this.count < this.values.length ? Number.NEGATIVE_INFINITY : this.values[0];
  }

  /** Keeps the value if it is among the largest so far; of equal ones the earlier stays. */
  offer(value: number, key: number): void {
    if (this.values.length === 0) return;
    if (this.count < this.values.length) {
      this.rise(this.count++, value, key);
    } else if (value > this.values[0]) {
      this.sink(value, key);
    }
  }

  /** What was kept, largest first; equal ones by key. */
  sorted(): { value: number; key: number }[] {
    return Array.from({ length: this.count }, (_, index) => ({
      value: this.values[index],
      key: this.keys[index],
    })).sort((a, b) => b.value - a.value || a.key - b.key);
  }

  /** Whether the pair goes before the kept one at `index`. */
  private before(value: number, key: number, index: number): boolean {
    return value < this.values[index] || (value === this.values[index] && key > this.keys[index]);
  }

  private rise(start: number, value: number, key: number): void {
    let index = start;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!this.before(value, key, parent)) break;
      this.values[index] = this.values[parent];
      this.keys[index] = this.keys[parent];
      index = parent;
    }
    this.values[index] = value;
    this.keys[index] = key;
  }

  private sink(value: number, key: number): void {
    const { values, keys, count } = this;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= count) break;
      if (child + 1 < count && this.before(values[child + 1], keys[child + 1], child)) child++;
      if (this.before(value, key, child)) break;
      values[index] = values[child];
      keys[index] = keys[child];
      index = child;
    }
    values[index] = value;
    keys[index] = key;
  }
}
