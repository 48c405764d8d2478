/**
 * @file Affine codes on threads of their own: as many as requests are made at once, kept for the next ones. Rows go over as a copy and
 * come back moved, which takes a hundredth of what searching their ranges does.
 */
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import {
  type AffineInput,
  type AffineSpec,
  decodeAffine,
  deserializeError,
  encodeAffine,
} from '@bitsmith/formats';
import type { AffineAnswer, AffineJob } from './affine-worker.js';

/** Fewer weights are done before a thread would have been told of them. */
const LEAST_WEIGHTS = 1 << 12;

const free: Worker[] = [];

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
  const worker = free.pop() ?? start();
  const answer = await ask(worker, { input: { ...input, values: input.values.slice() }, spec });
  free.push(worker);
  if ('error' in answer) throw deserializeError(answer.error);
  target.set(answer.decoded);
}

function start(): Worker {
  const entry = createRequire(import.meta.url).resolve('@bitsmith/core/affine-worker');
  const worker = new Worker(entry, { execArgv: [] });
  worker.unref();
  return worker;
}

/** The thread holds the process open only while it works. One that fails is not used again. */
async function ask(worker: Worker, job: AffineJob): Promise<AffineAnswer> {
  worker.ref();
  try {
    return await new Promise<AffineAnswer>((resolve, reject) => {
      const done = (answer: AffineAnswer): void => {
        worker.off('error', failed);
        resolve(answer);
      };
      const failed = (error: unknown): void => {
        worker.off('message', done);
        reject(error);
      };
      worker.once('message', done).once('error', failed);
      worker.postMessage(job, [job.input.values.buffer as ArrayBuffer]);
    });
  } finally {
    worker.unref();
  }
}
