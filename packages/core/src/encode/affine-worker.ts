/** @file A thread that takes rows through affine codes. It keeps nothing from one request to the next. */
import { parentPort } from 'node:worker_threads';
import {
  type AffineInput,
  type AffineSpec,
  decodeAffine,
  encodeAffine,
  type SerializedError,
  serializeError,
} from '@bitsmith/formats';

/** Rows and the codes to take them through. */
export interface AffineJob {
  readonly input: AffineInput;
  readonly spec: AffineSpec;
}

/** The rows as their codes give them back, or why there are none. */
export type AffineAnswer = { readonly decoded: Float32Array } | { readonly error: SerializedError };

function work({ input, spec }: AffineJob): AffineAnswer {
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
