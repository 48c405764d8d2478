/** @file What every importance method yields: one number about a tensor, or about a tensor in a scheme, with its evidence. */
import type { Evidence } from '../../evaluate/types.js';

/** The ways to tell how much a tensor matters, in the order of what they cost. */
export const methods = [
  'variance',
  'activation',
  'hessian',
  'gradient',
  'noise',
  'rtn',
  'disable',
  'upgrade',
] as const;

export type Method = (typeof methods)[number];

/**
 * `nats/token`: expected loss of the change, comparable between the methods that have it. `relative`: squared error over
 * squared weights. `square`: squared error of the tensor's output per token, in the model's own units.
 */
export type ScoreUnit = 'nats/token' | 'relative' | 'square';

export interface Score {
  readonly tensor: string;
  /** Null where the method says something about the tensor whatever its scheme. */
  readonly scheme: string | null;
  readonly method: Method;
  readonly value: number;
  readonly unit: ScoreUnit;
  /** Over the text's sequences; null where the method knows none. */
  readonly standardError: number | null;
  readonly evidence: Evidence;
}
