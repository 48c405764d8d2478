/**
 * @file How fast a plan is encoded, from source file to output file, against llama.cpp's own quantizer: same types, same
 * importance matrix, same threads, both in warm processes of their own, in turns. The bytes must be equal.
 *
 * Beside it stand two floors. Reading the source and writing the output, on one thread and with both files in the system's
 * cache, is what any encoder has to do. The engine's bare encoder on all lanes, over rows that stay in the processor's
 * cache, is what no arrangement of work around that encoder can pass; types with a kernel of our own can.
 */
import { open, rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  ggufUint32,
  type GgufFile,
  type GgufLayout,
  layoutGguf,
  readGguf,
  tensorTypes,
  type TensorType,
} from '@bitsmith/formats';
import { EngineHost } from '@bitsmith/core';
import type { FileType } from '@bitsmith/ggml';
import { openBundled } from './lib/bundled.js';
import { refuseOtherTensors } from './lib/compare.js';
import { benchFolder, FileInput, FileOutput } from './lib/file.js';
import { generateImportance } from './lib/generated-importance.js';
import { generateModel, type ModelShape } from './lib/generated-model.js';
import { Peer } from './lib/peer.js';
import { processorSeconds } from './lib/processor-time.js';
import { type Bar, readFlags, report, type Row, row, say } from './lib/report.js';
import { median, pairedMedianRatio } from './lib/statistics.js';

const shape: ModelShape = {
  name: 'generated-160m',
  blocks: 12,
  width: 1024,
  feedForward: 2816,
  heads: 16,
  keyValueHeads: 8,
  vocabulary: 8192,
  contextLength: 2048,
};

interface Case {
  readonly scheme: TensorType;
  /** The file type whose only scheme it is. */
  readonly fileType: FileType;
  readonly pairs: number;
  readonly bar?: Bar;
}

const cases: readonly Case[] = [
  { scheme: 'Q4_K', fileType: 'Q4_K_S', pairs: 5, bar: { of: 'ratio', least: 1.2 } },
  { scheme: 'Q8_0', fileType: 'Q8_0', pairs: 15, bar: { of: 'ratio', least: 1 } },
  { scheme: 'IQ4_XS', fileType: 'IQ4_XS', pairs: 5, bar: { of: 'ratio', least: 1 } },
  { scheme: 'Q6_K', fileType: 'Q6_K', pairs: 5 },
  { scheme: 'Q3_K', fileType: 'Q3_K_S', pairs: 5 },
  { scheme: 'IQ3_S', fileType: 'IQ3_S', pairs: 3 },
];

const THREADS = 2;

const PIECE_BYTES = 1 << 20;

interface Setting {
  readonly source: string;
  readonly importance: string;
  readonly gguf: GgufFile;
  readonly weights: number;
  readonly ours: string;
  readonly peers: string;
  readonly engine: EngineHost;
  readonly peer: Peer;
}

const flags = readFlags(['only', 'pairs']);
const folder = await benchFolder('speed');
const setting = await prepare();
const rows: Row[] = [];
try {
  const only = flags.values['only'];
  for (const entry of cases) {
    if (only !== undefined && !String(only).split(',').includes(entry.scheme)) continue;
    rows.push(...(await measureCase(setting, entry)));
  }
} finally {
  await setting.engine.close();
  await setting.peer.close();
  await rm(folder, { recursive: true, force: true });
}
await report('speed', rows, flags);

async function prepare(): Promise<Setting> {
  const source = path.join(folder, 'source.gguf');
  const importance = path.join(folder, 'importance.gguf');
  const { metadata } = await openBundled();
  const { parameterCount, byteLength } = await generateModel(source, shape, metadata, 1);
  say(
    `source: ${parameterCount.toLocaleString('en')} weights in F16, ${byteLength.toLocaleString('en')} bytes`,
  );
  const gguf = await headerOf(source);
  await generateImportance(importance, gguf.tensors, 2);
  return {
    source,
    importance,
    gguf,
    weights: parameterCount,
    ours: path.join(folder, 'ours.gguf'),
    peers: path.join(folder, 'peer.gguf'),
    engine: new EngineHost({ threads: THREADS, verbose: false }),
    peer: new Peer(THREADS),
  };
}

async function headerOf(file: string): Promise<GgufFile> {
  const input = await FileInput.open(file);
  try {
    return await readGguf(input);
  } finally {
    await input.close();
  }
}

async function measureCase(on: Setting, { scheme, fileType, pairs, bar }: Case): Promise<Row[]> {
  const { weights } = on;
  const outputBytes = layoutFor(on.gguf, scheme).byteLength;
  const moved = weights / (await moveSeconds(on.source, on.ours, outputBytes));
  const oneLane = await on.peer.encoderRate(scheme, 1);
  const allLanes = await on.peer.encoderRate(scheme, THREADS);
  const [read, written] = [on.gguf.byteLength, outputBytes].map((bytes) => bytes.toLocaleString('en'));
  say(`\n${scheme}: ${read} bytes to read and ${written} to write, ${mega(moved)} Mweights/s on one thread;`);
  say(`  the engine's bare encoder: ${mega(oneLane)} Mweights/s on 1 lane, ${mega(allLanes)} on ${THREADS}`);
  // Once each without the clock: pages, tables and the processes themselves are then warm for both.
  await encodeOurs(on, scheme);
  await quantizePeers(on, scheme, fileType);
  await refuseOtherTensors(on.ours, on.peers);
  const ours: Run[] = [];
  const peers: Run[] = [];
  const wanted = flags.values['pairs'] === undefined ? pairs : Number(flags.values['pairs']);
  for (let pair = 0; pair < wanted; pair++) {
    ours.push(await timed(on.engine.processId, () => encodeOurs(on, scheme)));
    peers.push(await timed(on.peer.processId, () => quantizePeers(on, scheme, fileType)));
    say(
      `  pair ${pair + 1}: ours ${ours[pair].seconds.toFixed(3)} s, llama.cpp ${peers[pair].seconds.toFixed(3)} s`,
    );
  }
  const seconds = [peers, ours].map((runs) => runs.map((run) => run.seconds));
  const { ratio, standardError } = pairedMedianRatio(seconds[0], seconds[1]);
  const rate = weights / median(seconds[1]);
  return [
    row({
      case: scheme,
      metric: 'Mweights/s, peer llama_model_quantize',
      ours: rate / 1e6,
      peer: weights / median(seconds[0]) / 1e6,
      ratio,
      standardError,
      bar,
    }),
    row({
      case: scheme,
      metric: "  peer the engine's bare encoder",
      ours: rate / 1e6,
      peer: allLanes / 1e6,
    }),
    row({ case: scheme, metric: '  peer moving the bytes', ours: rate / 1e6, peer: moved / 1e6 }),
    ...processorRow(scheme, ours, peers),
  ];
}

/** Seconds to read a file and to write another of `targetBytes`, in pieces, on this thread. */
async function moveSeconds(source: string, target: string, targetBytes: number): Promise<number> {
  const input = await FileInput.open(source);
  const output = await FileOutput.create(target);
  const piece = new Uint8Array(PIECE_BYTES);
  const start = performance.now();
  for (let at = 0; at < input.byteLength; at += PIECE_BYTES) {
    const bytes = Math.min(PIECE_BYTES, input.byteLength - at);
    await input.readInto(piece.subarray(0, bytes), at);
    await output.write(piece.subarray(0, Math.floor((bytes * targetBytes) / input.byteLength)));
  }
  const seconds = (performance.now() - start) / 1000;
  await Promise.all([input.close(), output.close()]);
  return seconds;
}

interface Run {
  readonly seconds: number;
  /** Of all threads of the process; null where the system does not tell. */
  readonly processor: number | null;
}

/** Runs work of another process and takes its times. */
async function timed(processId: number | undefined, work: () => Promise<number>): Promise<Run> {
  const before = processorSeconds(processId);
  const seconds = await work();
  const after = processorSeconds(processId);
  return { seconds, processor: before === null || after === null ? null : after - before };
}

/** Processor time tells the work itself from the waiting; other processes disturb it little. */
function processorRow(scheme: TensorType, ours: readonly Run[], peers: readonly Run[]): Row[] {
  const [own, theirs] = [ours, peers].map((runs) =>
    runs.flatMap(({ processor }) => (processor === null ? [] : [processor])),
  );
  if (own.length === 0 || theirs.length === 0) return [];
  return [row({ case: scheme, metric: '  processor seconds', ours: median(own), peer: median(theirs) })];
}

function mega(rate: number): string {
  return (rate / 1e6).toPrecision(4);
}

/** The encode task of a plan with one scheme, as the pipeline runs it; returns its seconds. */
async function encodeOurs(on: Setting, scheme: TensorType): Promise<number> {
  const layout = layoutFor(on.gguf, scheme);
  const journalPath = `${on.ours}.journal`;
  await rm(on.ours, { force: true });
  const start = performance.now();
  await startOutput(on.ours, layout);
  await writeFile(journalPath, '');
  await on.engine.run('encode', {
    files: [on.source],
    importancePath: on.importance,
    rounding: null,
    encodedCacheBytes: 0,
    outputPath: on.ours,
    journalPath,
    tensors: layout.tensors.map(({ name, type, offset }) => ({ name, scheme: type, offset, learned: null })),
  });
  return (performance.now() - start) / 1000;
}

function layoutFor(gguf: GgufFile, scheme: TensorType): GgufLayout {
  const metadata = new Map(gguf.metadata);
  metadata.set('general.quantization_version', ggufUint32(2));
  const tensors = gguf.tensors.map(({ name, shape: axes, type }) => ({
    name,
    shape: axes,
    type: axes.length > 1 && axes[0] % tensorTypes[scheme].blockSize === 0 ? scheme : type,
  }));
  return layoutGguf({ metadata, tensors });
}

/** The unfinished output as the encode stage begins it: the final size, the header in place. */
async function startOutput(file: string, layout: GgufLayout): Promise<void> {
  await writeFile(file, '');
  await truncate(file, layout.byteLength);
  const handle = await open(file, 'r+');
  await handle.write(layout.header);
  await handle.close();
}

async function quantizePeers(on: Setting, scheme: TensorType, fileType: FileType): Promise<number> {
  await rm(on.peers, { force: true });
  return on.peer.quantize({
    source: on.source,
    output: on.peers,
    fileType,
    importanceMatrixPath: on.importance,
    pure: true,
    tokenEmbeddingType: scheme,
    outputTensorType: scheme,
    threads: THREADS,
  });
}
