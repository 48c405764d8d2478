/**
 * @file One forward and one backward pass of whole sequences through a model that is in memory one block at a time: forward
 * with the stream before every block kept, labels drawn at the end, backward with every block rebuilt from what was kept.
 * Gives, for each sequence and each weight matrix, the row and column sums of the squared gradient of the sequence's
 * summed log-probability (sequence-level Fisher).
 */
import { BitsmithError } from '@bitsmith/formats';
import type { Engine } from '@bitsmith/ggml';
import type { WeightFiles } from '../../model/weight-files.js';
import { inLanes } from '../../run/lanes.js';
import { Activations } from './activations.js';
import { BlockLane } from './block-lane.js';
import { type BlockWeights, blockTensorName, loadBlock, roomForBlock } from './block-weights.js';
import { EmbeddingRows, meetEmbedding } from './embedding.js';
import { GramSum } from './gram.js';
import { Head, type HeadResult } from './head.js';
import type { WeightChanges } from './inner-products.js';
import type { BlockShape, TransformerShape } from './shape.js';
import type { SquaredGradient } from './squared-gradient.js';
import { alignedFloats, fillTranspose, loadVector, STAGING_BYTES } from './weights.js';

export interface PassSettings {
  readonly engine: Engine;
  readonly files: WeightFiles;
  readonly model: TransformerShape;
  readonly positions: number;
  readonly lanes: number;
  readonly seed: number;
  /** Positions before it have no label. */
  readonly firstScored: number;
  /** Where kept activations go; null keeps them in memory. */
  readonly scratchPath: string | null;
  /** Bytes that a slab of the output head takes; default 64 MiB. */
  readonly headSlabBytes?: number;
  /** Changes of weights whose inner products with the gradients are wanted. */
  readonly changes?: WeightChanges;
}

export interface Sequence {
  /** Seeds its labels. */
  readonly index: number;
  readonly tokens: Int32Array;
}

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

/** Sequences whose inputs are summed at once. */
const GRAM_SEQUENCES = 4;

export class SequencePass {
  private readonly settings: PassSettings;
  private readonly head: Head;
  private readonly embedding: EmbeddingRows;
  private readonly room: BlockWeights;
  private readonly lanes: readonly BlockLane[];
  /** dW of the block's matrices. */
  private readonly changes: ReadonlyMap<string, Float32Array> | null;

  private constructor(
    settings: PassSettings,
    head: Head,
    embedding: EmbeddingRows,
    room: BlockWeights,
    lanes: readonly BlockLane[],
    changes: ReadonlyMap<string, Float32Array> | null,
  ) {
    this.settings = settings;
    this.head = head;
    this.embedding = embedding;
    this.room = room;
    this.lanes = lanes;
    this.changes = changes;
  }

  static async open(settings: PassSettings): Promise<SequencePass> {
    const { engine, files, model, positions } = settings;
    const ropeFactors = await loadRopeFactors(settings);
    const room = roomForBlock(files, model, { transposed: true });
    const changes =
      settings.changes === undefined
        ? null
        : new Map([...room.matrices].map(([name, { values }]) => [name, alignedFloats(values.length)]));
    const lanes = Array.from(
      { length: settings.lanes },
      () => new BlockLane({ engine, model, positions, ropeFactors, weights: room, changes }),
    );
    const head = await Head.open(settings);
    return new SequencePass(settings, head, new EmbeddingRows(settings), room, lanes, changes);
  }

  /** Bytes of weights, lanes and head: everything but the sequences' own streams. */
  get byteLength(): number {
    const weights = [...this.room.matrices.values()].reduce((sum, { values }) => sum + 8 * values.length, 0);
    const { blocks } = this.settings.model;
    return (
      weights +
      STAGING_BYTES * this.lanes.length +
      this.head.byteLength +
      this.lanes.reduce((sum, lane) => sum + lane.byteLength(blocks), 0)
    );
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
    return new SequencePass(
      { ...this.settings, scratchPath },
      this.head,
      this.embedding,
      this.room,
      this.lanes,
      this.changes,
    );
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
      await this.timed('forward', this.forward(sequences, streams, kept, signal));
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
      sequences.forEach(({ tokens }, at) =>
        meetEmbedding(
          model,
          this.embedding.vocabulary,
          tokens,
          streams[at],
          found[at].ownRows,
          gradients[at],
        ),
      );
      return gradients.map((squared, at) => ({
        labels: found[at].draw.labels,
        squared,
        inner: inner[at],
      }));
    } finally {
      await kept.close();
    }
  }

  /**
   * Gram matrices of the inputs of every block's matrices and of the head's, over all positions of the sequences.
   * @param take gets each block's, by the first matrix that reads the input, and last the head's
   */
  async grams(
    sequences: readonly Sequence[],
    take: (block: number | null, grams: ReadonlyMap<string, Float32Array>) => Promise<void>,
    signal?: AbortSignal,
  ): Promise<void> {
    const { model } = this.settings;
    const streams = await Promise.all(sequences.map(({ tokens }) => this.embedding.look(tokens)));
    const sums = new Map<string, GramSum>();
    try {
      for (const [index, block] of model.blocks.entries()) {
        await this.load(index);
        await this.addUp(streams, sums, signal, async (lane, stream, at) => {
          lane.input.set(stream);
          const inputs = await lane.forwardKeeping(block, signal);
          if (!isFinite(lane.output)) {
            const position = await this.firstOverflow(lane, block, stream, signal);
            throw notFinite(`block ${index}`, sequences[at], position);
          }
          stream.set(lane.output);
          return inputs;
        });
        await take(index, new Map([...sums].map(([name, sum]) => [name, sum.take()])));
      }
      const head = new Map<string, GramSum>();
      try {
        await this.addUp(streams, head, signal, async (lane, stream) => {
          const hidden = await this.head.hidden(stream, this.lanes.indexOf(lane), signal);
          return new Map([[this.head.tensor.name, hidden]]);
        });
        await take(null, new Map([...head].map(([name, sum]) => [name, sum.take()])));
      } finally {
        for (const sum of head.values()) sum.dispose();
      }
    } finally {
      for (const sum of sums.values()) sum.dispose();
    }
  }

  /** Batches of sequences side by side in the lanes, then their sums side by side. */
  private async addUp(
    streams: readonly Float32Array[],
    sums: Map<string, GramSum>,
    signal: AbortSignal | undefined,
    inputsOf: (
      lane: BlockLane,
      stream: Float32Array,
      at: number,
    ) => Promise<ReadonlyMap<string, Float32Array>>,
  ): Promise<void> {
    const { engine, positions } = this.settings;
    for (let first = 0; first < streams.length; first += GRAM_SEQUENCES) {
      const batch = streams.slice(first, first + GRAM_SEQUENCES);
      await this.inEach(batch, async (lane, stream, place) => {
        for (const [name, input] of await inputsOf(lane, stream, first + place)) {
          let sum = sums.get(name);
          if (sum === undefined) {
            sum = new GramSum(engine, input.length / positions, positions * GRAM_SEQUENCES);
            sums.set(name, sum);
          }
          sum.place(input, place);
        }
      });
      await inLanes(this.lanes.length, sums.values(), (sum) => sum.add(batch.length * positions, signal));
    }
  }

  /** Logits of one sequence, [positions x vocabulary]. */
  async logits(sequence: Sequence, signal?: AbortSignal): Promise<Float32Array> {
    const { model, positions } = this.settings;
    const kept = await Activations.create(1, model.width * positions, null);
    const stream = await this.embedding.look(sequence.tokens);
    await this.forward([sequence], [stream], kept, signal);
    await kept.close();
    return await this.head.logits(stream, signal);
  }

  dispose(): void {
    for (const lane of this.lanes) lane.dispose();
    this.head.dispose();
  }

  private async timed<Result>(part: keyof PassSeconds, work: Promise<Result>): Promise<Result> {
    const start = performance.now();
    const result = await work;
    this.seconds[part] += (performance.now() - start) / 1000;
    return result;
  }

  private async forward(
    sequences: readonly Sequence[],
    streams: readonly Float32Array[],
    kept: Activations,
    signal?: AbortSignal,
  ): Promise<void> {
    for (const [index, block] of this.settings.model.blocks.entries()) {
      await this.load(index);
      await this.inEach(streams, async (lane, stream, at) => {
        await kept.write(index, at, stream);
        lane.input.set(stream);
        await lane.forward(block, signal);
        if (!isFinite(lane.output)) {
          const position = await this.firstOverflow(lane, block, stream, signal);
          throw notFinite(`block ${index}`, sequences[at], position);
        }
        stream.set(lane.output);
      });
    }
  }

  /**
   * The position whose stream makes a block overflow. NaN spreads to positions before it, where masks are added to it: so the
   * shortest start of the sequence is looked for that overflows by itself.
   */
  private async firstOverflow(
    lane: BlockLane,
    block: BlockShape,
    stream: Float32Array,
    signal?: AbortSignal,
  ): Promise<number> {
    const { width } = this.settings.model;
    let [low, high] = [0, stream.length / width - 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      lane.input.set(stream);
      lane.input.fill(0, (middle + 1) * width);
      await lane.forward(block, signal);
      if (isFinite(lane.output)) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private async backward(
    streams: readonly Float32Array[],
    kept: Activations,
    gradients: readonly Map<string, SquaredGradient>[],
    inner: readonly Map<string, number>[],
    signal?: AbortSignal,
  ): Promise<void> {
    for (const [index, block] of [...this.settings.model.blocks.entries()].toReversed()) {
      await this.load(index);
      this.transpose();
      await this.loadChanges(index);
      await this.inEach(streams, async (lane, stream, at) => {
        await kept.read(index, at, lane.input);
        lane.outputGradient.set(stream);
        await lane.backward(block, signal);
        stream.set(lane.inputGradient);
        for (const [part, { rows, columns, energy }] of lane.squared) {
          const copy = { rows: rows.slice(), columns: columns.slice(), energy: energy.slice() };
          gradients[at].set(blockTensorName(index, part), copy);
        }
        for (const [part, [product]] of lane.inner) inner[at].set(blockTensorName(index, part), product);
      });
    }
  }

  /** Gradients pass through the weights the other way round; the way forward does without. */
  private transpose(): void {
    if (this.hasTransposes) return;
    for (const matrix of this.room.matrices.values()) fillTranspose(matrix);
    this.hasTransposes = true;
  }

  private async loadChanges(block: number): Promise<void> {
    for (const [part, array] of this.changes ?? [])
      await this.settings.changes?.rows(blockTensorName(block, part), 0, array);
  }

  /** What `run` has taken so far. */
  readonly seconds: PassSeconds = { forward: 0, head: 0, backward: 0 };
  private loaded: number | null = null;
  private hasTransposes = false;
  /** Kept activations of the last group. */
  private readonly memory = new Map<string, Float32Array>();

  private async load(block: number): Promise<void> {
    if (this.loaded === block) return;
    this.hasTransposes = false;
    const { engine, files, model, lanes } = this.settings;
    await loadBlock(engine, files, model, block, this.room, lanes);
    this.loaded = block;
  }

  private async inEach(
    streams: readonly Float32Array[],
    work: (lane: BlockLane, stream: Float32Array, at: number) => Promise<void>,
  ): Promise<void> {
    const free = [...this.lanes];
    await inLanes(free.length, streams.entries(), async ([at, stream]) => {
      const lane = free.pop() as BlockLane;
      await work(lane, stream, at);
      free.push(lane);
    });
  }

  private refuseNotFinite(sequences: readonly Sequence[], found: readonly HeadResult[]): void {
    found.forEach(({ draw: { notFinite: position } }, at) => {
      if (position !== null) throw notFinite('the output head', sequences[at], position);
    });
  }
}

/** Long contexts have other frequencies where a model says so; ours are as long as the sequences. */
async function loadRopeFactors({
  engine,
  files,
  model,
  positions,
}: PassSettings): Promise<Float32Array | null> {
  const long = positions > (model.blocks[0]?.rope.originalContext ?? Infinity);
  const names = ['rope_freqs.weight', long ? 'rope_factors_long.weight' : 'rope_factors_short.weight'];
  const name = names.find((candidate) => files.has(candidate));
  if (name === undefined) return null;
  // One for each pair of a head: the engine also reads those of the pairs that do not turn.
  const factors = await loadVector(engine, files, name);
  const padded = new Float32Array(Math.max(factors.length, Math.ceil(model.headSize / 2))).fill(1);
  padded.set(factors);
  return padded;
}

function isFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i])) return false;
  return true;
}

function notFinite(where: string, { index, tokens }: Sequence, position: number): BitsmithError {
  return new BitsmithError(
    'analysis',
    'ACTIVATION_NOT_FINITE',
    `expected finite activations behind ${where}, found NaN or infinity at token ${position} (id ${tokens[position]}) of sequence ${index}`,
    {
      suggestion:
        'The model overflows on this text. Try another text, or check the model with bitsmith inspect.',
    },
  );
}
