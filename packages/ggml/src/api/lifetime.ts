/** @file Explicit lifetimes of native objects: a disposed one refuses to be used instead of reading freed memory. */
import { BitsmithError } from '@bitsmith/formats';

export class Lifetime {
  private readonly what: string;
  private alive = true;
  private readonly children = new Set<Lifetime>();

  constructor(what: string, parent?: Lifetime) {
    this.what = what;
    parent?.adopt(this);
  }

  get isAlive(): boolean {
    return this.alive;
  }

  /** @throws BitsmithError `ENGINE_DISPOSED` */
  assertAlive(): void {
    if (this.alive) return;
    throw new BitsmithError(
      'engine',
      'ENGINE_DISPOSED',
      `expected an open ${this.what}, found one that was disposed`,
    );
  }

  /** Ends the lifetime; `free` runs once, and only when nothing that depends on it lives. */
  end(free: () => void): void {
    if (!this.alive) return;
    for (const child of this.children) {
      if (!child.alive) continue;
      throw new BitsmithError(
        'engine',
        'ENGINE_IN_USE',
        `expected no open ${child.what} when a ${this.what} is disposed, found one`,
        { suggestion: `Dispose the ${child.what} first.` },
      );
    }
    this.alive = false;
    free();
  }

  private adopt(child: Lifetime): void {
    for (const known of this.children) if (!known.alive) this.children.delete(known);
    this.children.add(child);
  }
}
