/**
 * @file Peak anonymous memory of the whole job on large models, summed over all its processes. The models are generated;
 * the texts are short, since every tensor is probed in the live model, which for a billion weights and texts at their default
 * size takes hours; one more job runs texts in batches of the default size, with few tensors left to probe. Mapped pages of
 * the model files are counted apart: the system takes them back when it needs room.
 */
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { GgufMetadata } from '@bitsmith/formats';
import type { QuantizeOptions } from '@bitsmith/core';
import { openBundled } from './lib/bundled.js';
import { benchFolder } from './lib/file.js';
import { generateModel, type ModelShape, oneBillion } from './lib/generated-model.js';
import { watchJob, type WatchedJob } from './lib/job.js';
import { type Bar, readFlags, report, type Row, row, say } from './lib/report.js';

const twoBillion: ModelShape = {
  ...oneBillion,
  name: 'generated-2b',
  blocks: 22,
  width: 2560,
  feedForward: 10_240,
};

const LIMIT_MB = 700;
/** Priced by probes: gradients take more than the limit for models this large (`bench:importance` measures how much). */
const method = 'probe';

/** One chunk of 32 tokens for each part: every line of the job runs, every tensor is probed. */
const shortTexts = {
  contextTokens: 32,
  calibrationTokens: 32,
  probeTokens: 32,
  verifyTokens: 32,
  method,
} as const;

/** A whole batch (2,048 tokens in chunks of 512), as with the default settings; all but two tensors are kept. */
const wholeBatches = {
  method,
  contextTokens: 512,
  calibrationTokens: 2048,
  probeTokens: 2048,
  verifyTokens: 2048,
  locks: ['^(?!output\\.weight|blk\\.0\\.ffn_down).*=F16'],
} as const;

const titles: ReadonlyMap<string, string> = new Map([
  ['open', 'open and tokenize'],
  ['verify', 'decode the written file'],
  ['run', 'verification on top: both models run'],
]);

const flags = readFlags(['only', 'bpw']);
const folder = await benchFolder('memory');
const rows: Row[] = [];
try {
  const only = flags.values['only'];
  const wanted = (name: string): boolean => only === undefined || String(only).split(',').includes(name);
  const { metadata } = await openBundled();
  let oneBillionPeak: number | undefined;
  if (wanted('1b') || wanted('batches')) {
    const source = await generate(oneBillion, metadata);
    if (wanted('1b')) {
      const job = await runJob('1B', source, { ...shortTexts, bitsPerWeight: 4.5 });
      oneBillionPeak = jobPeak(job);
      rows.push(...rowsOf('1B, short texts', job, { of: 'ours', most: LIMIT_MB }));
    }
    if (wanted('batches')) {
      const job = await runJob('1B, whole batches', source, { ...wholeBatches, bitsPerWeight: 15.5 });
      rows.push(...rowsOf('1B, whole batches', job, { of: 'ours', most: LIMIT_MB }));
    }
    await rm(source);
  }
  if (wanted('2b')) {
    const source = await generate(twoBillion, metadata);
    const job = await runJob('2B', source, { ...shortTexts, bitsPerWeight: 4.5 });
    rows.push(...rowsOf('2B, short texts', job, { of: 'ratio', least: 0.9, most: 1.1 }, oneBillionPeak));
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
await report('memory', rows, flags);

async function generate(shape: ModelShape, tokenizer: GgufMetadata): Promise<string> {
  const file = path.join(folder, `${shape.name}.gguf`);
  const { parameterCount, byteLength } = await generateModel(file, shape, tokenizer, 3);
  say(
    `\n${shape.name}: ${parameterCount.toLocaleString('en')} weights in F16, ${byteLength.toLocaleString('en')} bytes`,
  );
  return file;
}

async function runJob(
  name: string,
  source: string,
  options: Omit<QuantizeOptions, 'model' | 'signal'>,
): Promise<WatchedJob> {
  say(`${name}:`);
  const home = path.join(folder, 'home');
  const output = path.join(folder, 'output.gguf');
  await rm(home, { recursive: true, force: true });
  try {
    return await watchJob({ ...options, model: source, output, home, threads: 2 }, say);
  } finally {
    await rm(home, { recursive: true, force: true });
    await rm(output, { force: true });
  }
}

/** Peak of planning, encoding and writing, the decoding of the written file included. */
function jobPeak({ peaks }: WatchedJob): number {
  return Math.max(...[...peaks].filter(([phase]) => phase !== 'run').map(([, { anonymous }]) => anonymous));
}

function rowsOf(name: string, job: WatchedJob, bar: Bar, peer?: number): Row[] {
  const mega = 1e6;
  const stages = [...job.peaks].map(([phase, { anonymous }]) =>
    row({ case: name, metric: `  ${titles.get(phase) ?? phase}, MB`, ours: anonymous / mega }),
  );
  const mapped = Math.max(...[...job.peaks.values()].map((peak) => peak.mapped));
  return [
    row({
      case: name,
      metric: peer === undefined ? 'peak of the job, MB' : 'peak of the job, MB; peer 1B',
      ours: jobPeak(job) / mega,
      peer: peer === undefined ? undefined : peer / mega,
      bar: bar.of === 'ratio' && peer === undefined ? undefined : bar,
    }),
    ...stages,
    row({ case: name, metric: '  mapped pages of files, apart, MB', ours: mapped / mega }),
  ];
}
