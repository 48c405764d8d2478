/** @file What encoders do to rows, relative to the rows: the parent's side of `row-errors-child.ts`. Kept in the benches' store. */
import { fork } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RunContext, type Wanted, type Work } from '@bitsmith/core';
import { engineEnvironment, engineRelease } from '@bitsmith/ggml';
import type { RowErrorsReply, RowErrorsRequest } from './row-errors-child.js';
import type { Setting } from './setting.js';

/** Enough for the hundredths at both ends to be left out. */
const ROWS = 128;

/** Trimmed mean over rows of sum(w e^2) / sum(w x^2), by tensor and scheme. */
type RowErrors = ReadonlyMap<string, ReadonlyMap<string, number>>;
type Kept = readonly (readonly [
  tensor: string,
  errors: readonly (readonly [scheme: string, error: number])[],
])[];

export async function* rowErrors(
  { store, threads }: RunContext,
  { model, calibration }: Setting,
  wanted: readonly Wanted[],
): Work<RowErrors> {
  const tensors = wanted.map(({ tensor, schemes }) => ({ name: tensor.name, schemes }));
  const task = {
    kind: 'bench-row-errors',
    version: 1,
    parameters: { rows: ROWS, tensors, engine: engineRelease },
    inputs: { model: model.sha256, importance: calibration.sha256 },
  };
  let kept = await store.readJson<Kept>(task);
  if (kept === null) {
    const found: Kept[number][] = [];
    const ask = { ggufPath: model.ggufPath, importancePath: calibration.path, rows: ROWS, threads, tensors };
    for await (const errors of measured(ask)) {
      found.push(errors);
      const { length: total } = tensors;
      yield {
        type: 'progress',
        stage: 'measure',
        done: found.length,
        total,
        unit: 'tensors',
        item: 'errors of rows',
      };
    }
    kept = found;
    await store.writeJson(task, kept);
  }
  return new Map(kept.map(([tensor, errors]) => [tensor, new Map(errors)]));
}

/** Tensor by tensor, from a process of its own. */
async function* measured(request: RowErrorsRequest): AsyncGenerator<Kept[number]> {
  const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), 'row-errors-child.js');
  const env = { ...process.env, ...engineEnvironment(request.threads) };
  const child = fork(entry, { serialization: 'advanced', env });
  const replies: RowErrorsReply[] = [];
  let wake = (): void => undefined;
  let ended: number | null = null;
  child.on('message', (message) => {
    replies.push(message as RowErrorsReply);
    wake();
  });
  child.once('exit', (code) => {
    ended = code ?? -1;
    wake();
  });
  child.send(request);
  try {
    for (;;) {
      for (let reply = replies.shift(); reply !== undefined; reply = replies.shift()) {
        if (reply.kind === 'end') return;
        yield [reply.tensor, reply.errors];
      }
      if (ended !== null) throw new Error(`the process that measures rows ended with exit code ${ended}`);
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  } finally {
    child.kill();
  }
}
