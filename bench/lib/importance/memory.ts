/**
 * @file The memory that gradients of a generated model of a billion weights take, under a limit of 2 GB: the whole job of planning,
 * command and engine together, sampled as it runs.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { GgufMetadata } from '@bitsmith/formats';
import { benchFolder } from '../file.js';
import { generateModel, oneBillion } from '../generated-model.js';
import { watchPlan } from '../job.js';
import { row, type Row, say } from '../report.js';

const LIMIT_MB = 2000;

/**
 * Sequences of the default length: what is kept of a sequence grows with it. Two of them keep both threads busy; more are measured
 * in groups, one after the other.
 */
const measured = { contextTokens: 512, calibrationTokens: 512, samples: 2 } as const;

/** @param tokenizer metadata of a model whose tokenizer is taken */
export async function memoryRows(tokenizer: GgufMetadata): Promise<Row[]> {
  const folder = await benchFolder(`importance-memory-${process.pid}`);
  try {
    const model = path.join(folder, `${oneBillion.name}.gguf`);
    const { parameterCount, byteLength } = await generateModel(model, oneBillion, tokenizer, 3);
    say(`${oneBillion.name}: ${parameterCount.toLocaleString('en')} weights, ${byteLength} bytes`);
    const { peaks, notes } = await watchPlan(
      {
        ...measured,
        model,
        home: path.join(folder, 'home'),
        threads: 2,
        bitsPerWeight: 4.5,
        method: 'gradient',
        // What feedback measures of inputs is another thing.
        encoder: 'nearest',
        workMemory: LIMIT_MB * 1e6,
      },
      say,
    );
    const predicted = notes.map((note) => /gradients take (\d+) MB/.exec(note)?.[1]).find(Boolean);
    const mega = 1e6;
    const peak = Math.max(...[...peaks.values()].map(({ anonymous }) => anonymous));
    const inMeasure = peaks.get('measure')?.anonymous ?? Number.NaN;
    const about = { case: `${oneBillion.name}: memory` };
    return [
      row({
        ...about,
        metric: `peak of the job, MB, ${measured.samples} sequences of ${measured.contextTokens} tokens`,
        ours: peak / mega,
        bar: { of: 'ours', most: LIMIT_MB },
      }),
      row({
        ...about,
        metric: '  while gradients and prices are measured, MB; peer: predicted for the gradients',
        ours: inMeasure / mega,
        peer: predicted === undefined ? undefined : Number(predicted),
      }),
      row({
        ...about,
        metric: '  mapped pages of the file, apart, MB',
        ours: Math.max(...[...peaks.values()].map(({ mapped }) => mapped)) / mega,
      }),
    ];
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
