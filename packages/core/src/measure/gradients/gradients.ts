/**
 * @file Squared gradients of whole sequences, with labels drawn from the model itself: an artifact a sequence, so that more samples
 * measure only what is new, and an interrupted analysis continues.
 */
import { ENGINE_RELEASE } from '../../engine/release.js';
import { memoryLimit } from '../../engine/memory-need.js';
import type { SourceModel } from '../../model/types.js';
import type { RunContext } from '../../run/context.js';
import type { RunEvent } from '../../run/events.js';
import type { TaskIdentity } from '../../run/store.js';
import { refuseTooManySamples, tokensHash, type TokenizedText } from '../../text/tokenize.js';
import { spreadOrder } from '../../text/spread-order.js';
import { gatherFiles, type GatheredFiles } from '../../run/gather-files.js';
import { firstScoredPosition } from '../scored-positions.js';
import { describeMemory } from '../../transformer/pass-within.js';

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

/** Squared gradients in the store, a file a sequence. */
export interface Gradients extends GatheredFiles {
  /** Labels of a sequence. */
  readonly labels: number;
  /** Bytes that measuring them was reckoned to take; null where nothing had to be measured. */
  readonly memoryBytes: number | null;
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
  const firstScored = firstScoredPosition(positions);
  const chunks = spreadOrder(text.chunks.length).slice(0, samples);
  const taskOf = (index: number): TaskIdentity => ({
    kind: 'sequence-gradient',
    version: 3,
    parameters: { index, positions, firstScored, seed: run.seed, engine: ENGINE_RELEASE },
    inputs: { model: model.sha256, tokens: tokensHash({ chunks: [text.chunks[index]] }) },
  });
  let memoryBytes: number | null = null;
  const files = yield* gatherFiles(run, {
    items: chunks,
    taskOf,
    extension: 'safetensors',
    label: 'gradients',
    work: ({ outputs, scratch, finished, emit }) =>
      run.engine.run(
        'gradient',
        {
          files: model.files.map((file) => file.path),
          positions,
          firstScored,
          seed: run.seed,
          sequences: [...outputs].map(([index, output]) => ({ index, tokens: text.chunks[index], output })),
          memoryBytes: options.memoryBytes ?? memoryLimit(),
          scratchPath: scratch('activations'),
        },
        {
          signal: run.signal,
          onEvent: (event) => {
            if (event.type === 'sequence') {
              finished(event.index);
              return;
            }
            if (event.type === 'memory') memoryBytes = event.predictedBytes;
            const message =
              event.type === 'memory' ? describeMemory('gradients', event) : describeSeconds(event);
            emit({ type: 'note', level: 'verbose', message });
          },
        },
      ),
  });
  return { ...files, labels: positions - firstScored, memoryBytes };
}

function describeSeconds(event: { forward: number; head: number; backward: number }): string {
  const [forward, head, backward] = [event.forward, event.head, event.backward].map((s) => s.toFixed(2));
  return `gradients took ${forward} s forward, ${head} s at the head, ${backward} s backward with every block rebuilt`;
}

/** `gradients of 4,096 tokens in 86 MB` */
export function describeGradients(
  { paths, memoryBytes }: Gradients,
  { contextTokens }: TokenizedText,
): string {
  const tokens = `gradients of ${(paths.length * contextTokens).toLocaleString('en')} tokens`;
  return memoryBytes === null ? tokens : `${tokens} in ${Math.ceil(memoryBytes / 1e6)} MB`;
}
