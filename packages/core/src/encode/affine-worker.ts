/** @file A thread that takes rows through affine codes. It keeps nothing from one request to the next. */
import { parentPort } from 'node:worker_threads';
import {
  type AffineInput,
  type AffineSpec,
  decodeAffine,
  encodeAffine,
  serializeError,
} from '@bitsmith/formats';
import type { Answer } from './thread-pool.js';

/** Rows and the codes to take them through. */
export interface AffineJob {
  readonly input: AffineInput;
  readonly spec: AffineSpec;
}

/** The rows as their codes give them back. */
export interface AffineResult {
  readonly decoded: Float32Array;
}

function work({ input, spec }: AffineJob): Answer<AffineResult> {
  try {
    return { decoded: decodeAffine(encodeAffine(input, spec)) };
  } catch (error) {
    return { error: serializeError(error) };
  }
}

parentPort?.on('message', (job: AffineJob) => {
  const answer = work(job);
  const moved = 'decoded' in answer ? [answer.decoded.buffer as ArrayBuffer] : [];
  parentPort?.postMessage(answer, moved);
});
