/** @file What a method says of every (tensor, scheme), in whatever unit. */
import type { Pair } from './ladder.js';

export interface Estimate {
  readonly method: string;
  /** True where the numbers are meant as nats per token. */
  readonly inNats: boolean;
  /** False where the method's number belongs to a tensor whatever its scheme. */
  readonly knowsSchemes: boolean;
  /** By pair id. */
  readonly values: ReadonlyMap<string, number>;
}

export function valueOf({ method, values }: Estimate, { id }: Pair): number {
  const value = values.get(id);
  if (value === undefined) throw new Error(`expected ${method} to know ${id}`);
  return value;
}
