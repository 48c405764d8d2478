/**
 * @file A process that runs the engine's own code: llama.cpp's quantizer over a file, one of its encoders over rows in memory, a
 * model over text, or products of matrices.
 */
import { availableParallelism } from 'node:os';
import { tensorTypes, type TensorType } from '@bitsmith/formats';
import {
  ComputeGraph,
  encodedByteLength,
  LlamaContext,
  LlamaModel,
  loadEngine,
  quantizeFile,
  type QuantizeFileOptions,
} from '@bitsmith/ggml';
import { normalQuantiles, randomWords } from './random.js';

export type PeerRequest =
  | { readonly kind: 'quantize'; readonly options: Omit<QuantizeFileOptions, 'signal'> }
  | { readonly kind: 'encoder'; readonly type: TensorType; readonly lanes: number }
  | {
      readonly kind: 'forward';
      readonly path: string;
      readonly chunks: readonly Int32Array[];
      readonly lanes: number;
    }
  | { readonly kind: 'products'; readonly lanes: number };

export interface PeerReply {
  /** Seconds of a file quantized or a text run, weights a second of an encoder, operations a second of products. */
  readonly value?: number;
  readonly error?: string;
}

const engine = loadEngine({ threads: Number(process.argv[2] ?? availableParallelism()) });

async function serve(request: PeerRequest): Promise<number> {
  if (request.kind === 'encoder') return encoderRate(request.type, request.lanes);
  if (request.kind === 'forward') return forwardSeconds(request.path, request.chunks, request.lanes);
  if (request.kind === 'products') return productRate(request.lanes);
  const start = performance.now();
  await quantizeFile(engine, request.options);
  return (performance.now() - start) / 1000;
}

const ROW = 1024;
const ROWS = 256;
const MEASURED_MS = 1500;

/** Weights a second of the bare encoder, `lanes` calls side by side, over rows that stay in the cache. */
async function encoderRate(type: TensorType, lanes: number): Promise<number> {
  const words = randomWords(1);
  const quantiles = normalQuantiles(1 << 16);
  const values = Float32Array.from({ length: ROW * ROWS }, () => quantiles[words() >>> 16]);
  const importance = Float32Array.from({ length: ROW }, () => Math.exp(1.5 * quantiles[words() >>> 16]));
  const encode = (target: Uint8Array): Promise<void> =>
    new Promise((resolve, reject) => {
      engine.native.ggml_quantize_chunk.async(
        tensorTypes[type].id,
        values,
        target,
        0,
        ROWS,
        ROW,
        importance,
        (error) => {
          if (error === null || error === undefined) resolve();
          else reject(error);
        },
      );
    });
  const targets = Array.from({ length: lanes }, () => new Uint8Array(encodedByteLength(type, ROWS, ROW)));
  await Promise.all(targets.map(encode));
  const start = performance.now();
  let calls = 0;
  const lane = async (target: Uint8Array): Promise<void> => {
    while (performance.now() - start < MEASURED_MS) {
      await encode(target);
      calls++;
    }
  };
  await Promise.all(targets.map(lane));
  return (calls * ROW * ROWS * 1000) / (performance.now() - start);
}

/** Seconds for all chunks with logits at every position, chunks side by side, each on a thread of its own. */
async function forwardSeconds(path: string, chunks: readonly Int32Array[], lanes: number): Promise<number> {
  const model = await LlamaModel.open(engine, path);
  const contextTokens = chunks[0].length;
  const contexts = Array.from({ length: lanes }, () =>
    LlamaContext.create(model, { contextTokens, threads: 1 }),
  );
  const batchOf = (tokens: Int32Array) => ({
    tokens,
    positions: Int32Array.from(tokens, (_, index) => index),
    sequenceIds: new Int32Array(tokens.length),
    outputs: new Uint8Array(tokens.length).fill(1),
  });
  const runAll = async (some: readonly Int32Array[]): Promise<void> => {
    let next = 0;
    const lane = async (context: LlamaContext): Promise<void> => {
      while (next < some.length) {
        const chunk = some[next++];
        context.clearMemory();
        await context.decodeAsync(batchOf(chunk));
      }
    };
    await Promise.all(contexts.map(lane));
  };
  // Once without the clock: mapped pages are read then.
  await runAll(chunks.slice(0, lanes));
  const start = performance.now();
  await runAll(chunks);
  const seconds = (performance.now() - start) / 1000;
  for (const context of contexts) context.dispose();
  model.dispose();
  return seconds;
}

/** Rows, columns and depth of the products that the machine's rate is measured with. */
const PRODUCT = { rows: 1024, depth: 1024, columns: 512 } as const;

/** Operations (multiplications and additions) a second of float32 products, `lanes` side by side. */
async function productRate(lanes: number): Promise<number> {
  const { rows, depth, columns } = PRODUCT;
  const graphs = Array.from({ length: lanes }, () => {
    const graph = new ComputeGraph(engine);
    const weight = graph.leaf(new Float32Array(depth * rows).fill(0.5), depth, rows);
    const input = graph.leaf(new Float32Array(depth * columns).fill(0.25), depth, columns);
    graph.store(graph.multiply(weight, input), new Float32Array(rows * columns));
    return graph;
  });
  await Promise.all(graphs.map((graph) => graph.compute()));
  const start = performance.now();
  let products = 0;
  const lane = async (graph: ComputeGraph): Promise<void> => {
    while (performance.now() - start < MEASURED_MS) {
      await graph.compute();
      products++;
    }
  };
  await Promise.all(graphs.map(lane));
  const rate = (2 * products * rows * depth * columns * 1000) / (performance.now() - start);
  for (const graph of graphs) graph.dispose();
  return rate;
}

process.on('message', (request: PeerRequest) => {
  serve(request).then(
    (value) => process.send?.({ value } satisfies PeerReply),
    (error: unknown) => process.send?.({ error: String(error) } satisfies PeerReply),
  );
});
process.on('disconnect', () => process.exit(0));
