/**
 * @file Affine codes on threads of their own. Rows go over as a copy and come back moved, which takes a hundredth of what searching
 * their ranges does.
 */
import { type AffineInput, type AffineSpec, decodeAffine, encodeAffine } from '@bitsmith/formats';
import type { AffineJob, AffineResult } from './affine-worker.js';
import { ThreadPool } from './thread-pool.js';

/** Fewer weights are done before a thread would have been told of them. */
const LEAST_WEIGHTS = 1 << 12;

const threads = new ThreadPool<AffineJob, AffineResult>('@bitsmith/core/affine-worker');

/** Fills `target` with the rows as affine codes give them back. @throws BitsmithError as `encodeAffine` */
export async function throughAffine(
  input: AffineInput,
  spec: AffineSpec,
  target: Float32Array,
): Promise<void> {
  if (input.values.length < LEAST_WEIGHTS) {
    decodeAffine(encodeAffine(input, spec), target);
    return;
  }
  const values = input.values.slice();
  const { decoded } = await threads.run({ input: { ...input, values }, spec }, [values.buffer]);
  target.set(decoded);
}
