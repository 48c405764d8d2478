/**
 * @file Squared gradients of whole sequences, with labels drawn from the model itself: an artifact a sequence, so that more samples
 * measure only what is new, and an interrupted analysis continues.
 */
import { ENGINE_RELEASE } from '../engine/release.js';
import { memoryLimit } from '../engine/memory-need.js';
import { sha256 } from '../io/hash.js';
import type { SourceModel } from '../model/types.js';
import type { RunContext } from '../run/context.js';
import type { RunEvent } from '../run/events.js';
import { MadeFiles } from '../run/made-files.js';
import type { TaskIdentity } from '../run/store.js';
import { streamed, withNewEngineAfterCrash } from '../run/work.js';
import { refuseTooManySamples, tokensHash, type TokenizedText } from '../text/tokenize.js';
import { spreadOrder } from '../text/spread-order.js';
import { graphArchitectures } from './transformer/shape.js';

/** Backward passes unless told: more lower the error of prices, which is about 5 % a tensor then. */
const DEFAULT_SAMPLES = 16;

export function defaultSamples({ chunks }: TokenizedText): number {
  return Math.min(DEFAULT_SAMPLES, chunks.length);
}

export interface GradientOptions {
  /** Sequences; default 16, or as many as the text has. */
  readonly samples?: number;
  /** Bytes that measuring may take; default: the machine's memory. */
  readonly memoryBytes?: number;
}

/** Squared gradients in the store. */
export interface Gradients {
  /** A file a sequence. */
  readonly paths: readonly string[];
  /** Labels of a sequence. */
  readonly labels: number;
  /** Names what they were measured on, and how. */
  readonly hash: string;
  readonly cached: boolean;
  /** Bytes that measuring them was reckoned to take; null where nothing had to be measured. */
  readonly memoryBytes: number | null;
}

/** Whether gradients of the model can be measured; the engine has the last word. */
export function hasGraph(model: Pick<SourceModel, 'architecture'>): boolean {
  return graphArchitectures.some((architecture) => architecture === model.architecture);
}

/**
 * Measures squared gradients of sequences spread over the text.
 * @throws BitsmithError `SAMPLES_TOO_MANY`, `GRAPH_UNSUPPORTED`, `MEMORY_LIMIT`, `ACTIVATION_NOT_FINITE`
 */
export async function* measureGradients(
  run: RunContext,
  model: SourceModel,
  text: TokenizedText,
  options: GradientOptions,
): AsyncGenerator<RunEvent, Gradients, void> {
  const samples = options.samples ?? defaultSamples(text);
  refuseTooManySamples(samples, text);
  const positions = text.contextTokens;
  const firstScored = Math.floor(positions / 8);
  const chunks = spreadOrder(text.chunks.length).slice(0, samples);
  const taskOf = (index: number): TaskIdentity => ({
    kind: 'sequence-gradient',
    version: 2,
    parameters: { index, positions, firstScored, seed: run.seed, engine: ENGINE_RELEASE },
    inputs: { model: model.sha256, tokens: sha256(new Uint8Array(text.chunks[index].slice().buffer)) },
  });
  const absent = async (): Promise<number[]> => {
    const found = await Promise.all(chunks.map((index) => run.store.find(taskOf(index), 'safetensors')));
    return chunks.filter((_, at) => found[at] === null);
  };
  const cached = (await absent()).length === 0;
  let memoryBytes: number | null = null;
  yield* streamed<RunEvent, void>(async (emit) => {
    let done = samples - (await absent()).length;
    const progress = (): void =>
      emit({
        type: 'progress',
        stage: 'measure',
        done,
        total: samples,
        unit: 'measurements',
        item: 'gradients',
      });
    progress();
    await withNewEngineAfterCrash(
      async () => (await absent()).length,
      async () => {
        const made = new MadeFiles(run.store);
        const outputs = new Map((await absent()).map((index) => [index, made.name('safetensors')]));
        try {
          await run.engine.run(
            'gradient',
            {
              files: model.files.map((file) => file.path),
              positions,
              firstScored,
              seed: run.seed,
              sequences: [...outputs].map(([index, output]) => ({
                index,
                tokens: text.chunks[index],
                output,
              })),
              memoryBytes: options.memoryBytes ?? memoryLimit(),
              scratchPath: made.name('activations'),
            },
            {
              signal: run.signal,
              onEvent: (event) => {
                if (event.type === 'memory') {
                  memoryBytes = event.predictedBytes;
                  emit({ type: 'note', level: 'verbose', message: describeMemory(event) });
                  return;
                }
                if (event.type === 'seconds') {
                  emit({ type: 'note', level: 'verbose', message: describeSeconds(event) });
                  return;
                }
                made.adopt(outputs.get(event.index) as string, taskOf(event.index), 'safetensors');
                done++;
                progress();
              },
            },
          );
          await made.settled();
        } finally {
          await made.removeRest();
        }
      },
      (error) => emit({ type: 'note', level: 'warning', message: error.message }),
    );
  });
  const paths = chunks.map((index) => run.store.pathOf(taskOf(index), 'safetensors'));
  const hash = sha256(JSON.stringify([model.sha256, tokensHash(text), samples, firstScored, run.seed]));
  return { paths, labels: positions - firstScored, hash, cached, memoryBytes };
}

function describeSeconds(event: { forward: number; head: number; backward: number }): string {
  const [forward, head, backward] = [event.forward, event.head, event.backward].map((s) => s.toFixed(2));
  return `gradients took ${forward} s forward, ${head} s at the head, ${backward} s backward with every block rebuilt`;
}

function describeMemory(event: { predictedBytes: number; onDisk: boolean; lanes: number }): string {
  const place = event.onDisk ? 'activations on disk' : 'activations in memory';
  return `gradients take ${Math.ceil(event.predictedBytes / 1e6)} MB on ${event.lanes} threads, ${place}`;
}

/** `gradients of 4,096 tokens in 86 MB` */
export function describeGradients(
  { paths, memoryBytes }: Gradients,
  { contextTokens }: TokenizedText,
): string {
  const tokens = `gradients of ${(paths.length * contextTokens).toLocaleString('en')} tokens`;
  return memoryBytes === null ? tokens : `${tokens} in ${Math.ceil(memoryBytes / 1e6)} MB`;
}
