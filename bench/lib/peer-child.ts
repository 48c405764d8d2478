/** @file A process that runs llama.cpp's own code: its quantizer over a file, or one of its encoders over rows in memory. */
import { availableParallelism } from 'node:os';
import { tensorTypes, type TensorType } from '@bitsmith/formats';
import { encodedByteLength, loadEngine, quantizeFile, type QuantizeFileOptions } from '@bitsmith/ggml';
import { normalQuantiles, randomWords } from './random.js';

export type PeerRequest =
  | { readonly kind: 'quantize'; readonly options: Omit<QuantizeFileOptions, 'signal'> }
  | { readonly kind: 'encoder'; readonly type: TensorType; readonly lanes: number };

export interface PeerReply {
  /** Seconds of a file quantized, or weights a second of an encoder. */
  readonly value?: number;
  readonly error?: string;
}

const engine = loadEngine({ threads: Number(process.argv[2] ?? availableParallelism()) });

async function serve(request: PeerRequest): Promise<number> {
  if (request.kind === 'encoder') return encoderRate(request.type, request.lanes);
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

process.on('message', (request: PeerRequest) => {
  serve(request).then(
    (value) => process.send?.({ value } satisfies PeerReply),
    (error: unknown) => process.send?.({ error: String(error) } satisfies PeerReply),
  );
});
process.on('disconnect', () => process.exit(0));
