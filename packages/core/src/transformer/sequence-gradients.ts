/**
 * @file One forward and one backward pass of whole sequences through a model that is in memory one block at a time: forward
 * with the stream before every block kept, labels drawn at the end, backward with every block rebuilt from what was kept.
 * Gives, for each sequence and each weight matrix, the row and column sums of the squared gradient of the sequence's
 * summed log-probability (sequence-level Fisher).
 */
import { alignedFloats } from '@bitsmith/ggml';
import { Activations } from './activations.js';
import { blockTensorName } from './block-weights.js';
import { Blocks, notFinite, type PassSettings, type Sequence } from './blocks.js';
import { EmbeddingRows, meetEmbedding } from './embedding.js';
import { Head, type HeadResult } from './head.js';
import type { SquaredGradient } from './squared-gradient.js';

export interface SequenceGradients {
  /** The labels drawn; -1 where a position has none. */
  readonly labels: Int32Array;
  /** By tensor name. */
  readonly squared: ReadonlyMap<string, SquaredGradient>;
  /** <G, dW> by tensor name; empty without changes. */
  readonly inner: ReadonlyMap<string, number>;
}

/** Backward includes that every block is rebuilt, which takes what the way forward took. */
export interface PassSeconds {
  forward: number;
  head: number;
  backward: number;
}

export class SequencePass {
  private readonly settings: PassSettings;
  private readonly head: Head;
  private readonly embedding: EmbeddingRows;
  private readonly blocks: Blocks;
  /** What `run` has taken so far. */
  readonly seconds: PassSeconds = { forward: 0, head: 0, backward: 0 };
  /** Kept activations of the last group. */
  private readonly memory = new Map<string, Float32Array>();

  private constructor(settings: PassSettings, head: Head, embedding: EmbeddingRows, blocks: Blocks) {
    this.settings = settings;
    this.head = head;
    this.embedding = embedding;
    this.blocks = blocks;
  }

  static async open(settings: PassSettings): Promise<SequencePass> {
    const head = await Head.open(settings);
    return new SequencePass(settings, head, new EmbeddingRows(settings), await Blocks.open(settings));
  }

  /** Bytes of weights, lanes and head: everything but the sequences' own streams. */
  get byteLength(): number {
    return this.blocks.byteLength + this.head.byteLength;
  }

  /** Bytes of one sequence: its stream, and what is found, once more while the last group's is not collected yet. */
  get sequenceBytes(): number {
    const { files, model, positions } = this.settings;
    const found = files.names
      .map((name) => files.tensor(name))
      .reduce((sum, { rowLength, rows }) => sum + 4 * (rowLength + 2 * rows), 0);
    return 4 * model.width * positions + 2 * found;
  }

  /** The same pass, with kept activations in a file. */
  withScratch(scratchPath: string): SequencePass {
    return new SequencePass({ ...this.settings, scratchPath }, this.head, this.embedding, this.blocks);
  }

  /** Sequences of `positions` tokens each. @throws BitsmithError `ACTIVATION_NOT_FINITE` */
  async run(sequences: readonly Sequence[], signal?: AbortSignal): Promise<SequenceGradients[]> {
    const { model, positions, scratchPath } = this.settings;
    const elements = model.width * positions;
    const kept = await Activations.create(sequences.length, elements, scratchPath, this.memory);
    try {
      const streams = await Promise.all(sequences.map(({ tokens }) => this.embedding.look(tokens)));
      const items = sequences.map(({ index, tokens }, at) => ({
        sequence: index,
        tokens,
        stream: streams[at],
      }));
      await this.timed('forward', this.blocks.forward(sequences, streams, kept, signal));
      const found = await this.timed('head', this.head.run(items, signal));
      this.refuseNotFinite(sequences, found);
      const gradients = found.map(
        ({ squared }) => new Map<string, SquaredGradient>([[this.head.tensor.name, squared]]),
      );
      const inner = found.map(({ inner: product }) =>
        this.settings.changes === undefined
          ? new Map<string, number>()
          : new Map([[this.head.tensor.name, product]]),
      );
      await this.timed('backward', this.backward(streams, kept, gradients, inner, signal));
      for (const [at, { tokens }] of sequences.entries())
        await this.embedding.addInner(tokens, streams[at], inner[at]);
      const looked = alignedFloats(elements);
      for (const [at, { tokens }] of sequences.entries()) {
        // The stream before the first block is what was looked up.
        await kept.read(0, at, looked);
        meetEmbedding(
          model,
          this.embedding.vocabulary,
          tokens,
          looked,
          streams[at],
          found[at].ownRows,
          gradients[at],
        );
      }
      return gradients.map((squared, at) => ({
        labels: found[at].draw.labels,
        squared,
        inner: inner[at],
      }));
    } finally {
      await kept.close();
    }
  }

  /** Logits of one sequence, [positions x vocabulary]. */
  async logits(sequence: Sequence, signal?: AbortSignal): Promise<Float32Array> {
    const { model, positions } = this.settings;
    const kept = await Activations.create(1, model.width * positions, null);
    const stream = await this.embedding.look(sequence.tokens);
    await this.blocks.forward([sequence], [stream], kept, signal);
    await kept.close();
    return await this.head.logits(stream, signal);
  }

  dispose(): void {
    this.blocks.dispose();
    this.head.dispose();
  }

  private async timed<Result>(part: keyof PassSeconds, work: Promise<Result>): Promise<Result> {
    const start = performance.now();
    const result = await work;
    this.seconds[part] += (performance.now() - start) / 1000;
    return result;
  }

  private async backward(
    streams: readonly Float32Array[],
    kept: Activations,
    gradients: readonly Map<string, SquaredGradient>[],
    inner: readonly Map<string, number>[],
    signal?: AbortSignal,
  ): Promise<void> {
    for (const [index, block] of [...this.settings.model.blocks.entries()].toReversed()) {
      await this.blocks.loadForBackward(index);
      await this.blocks.inEach(streams, async (lane, stream, at) => {
        await kept.read(index, at, lane.input);
        lane.outputGradient.set(stream);
        await lane.backward(block, signal);
        stream.set(lane.inputGradient);
        for (const [part, { rows, columns, energy, growth }] of lane.squared) {
          const copy = {
            rows: rows.slice(),
            columns: columns.slice(),
            energy: energy.slice(),
            growth: growth.slice(),
          };
          gradients[at].set(blockTensorName(index, part), copy);
        }
        for (const [part, [product]] of lane.inner) inner[at].set(blockTensorName(index, part), product);
      });
    }
  }

  private refuseNotFinite(sequences: readonly Sequence[], found: readonly HeadResult[]): void {
    found.forEach(({ draw: { notFinite: position } }, at) => {
      if (position !== null) throw notFinite('the output head', sequences[at], position);
    });
  }
}
