/**
 * @file The end of the model: last norm, output head, labels drawn from its predictions, and the way back to the stream. The
 * head's rows pass in slabs, since a large vocabulary's weights as floats would be gigabytes; each sequence's logits
 * are whole only between the way there and the way back.
 */
import { alignedFloats } from '@bitsmith/ggml';
import type { StoredTensor } from '../model/weight-files.js';
import { inLanes } from '../run/lanes.js';
import type { WeighedInput } from './block-lane.js';
import type { PassSettings } from './blocks.js';
import { HeadLane, type OwnRows } from './head-lane.js';
import { bend, drawLabels, type DrawnLabels } from './random-labels.js';
import { emptySquaredGradient, type SquaredGradient } from './squared-gradient.js';
import { fillTranspose, loadVector, loadWeights, type WeightArray, weightArray } from './weights.js';

const SLAB_BYTES = 64 * 2 ** 20;

/** One sequence at the head. */
export interface HeadItem {
  /** Seeds its labels. */
  readonly sequence: number;
  readonly tokens: Int32Array;
  /** [width, positions]: the stream behind the last block; replaced by its gradient. */
  readonly stream: Float32Array;
}

/** What the head says of one sequence. */
export interface HeadResult {
  readonly squared: SquaredGradient;
  /** Where the embedding is the same tensor, its gradient meets the head's in these rows. Null where it is not. */
  readonly ownRows: OwnRows | null;
  readonly draw: DrawnLabels;
  /** What the head's matrix was multiplied with; null where that was not asked for. */
  readonly input: WeighedInput | null;
  /** <G, dW> of the head's matrix alone; 0 without changes. */
  readonly inner: number;
}

/** A sequence on its way through the head. */
interface BusyLane {
  readonly item: HeadItem;
  readonly lane: HeadLane;
  readonly logits: Float32Array;
  readonly squared: SquaredGradient;
  inner: number;
  draw: DrawnLabels | null;
  input: WeighedInput | null;
  ownRows: OwnRows | null;
}

export class Head {
  readonly tensor: StoredTensor;
  private readonly settings: PassSettings;
  private readonly slab: WeightArray;
  /** dW of the slab. */
  private readonly change: Float32Array | null;
  private readonly lanes: HeadLane[];
  private loaded: number | null = null;

  private constructor(settings: PassSettings, tensor: StoredTensor, gains: Float32Array) {
    const { model, positions, lanes, headSlabBytes = SLAB_BYTES } = settings;
    const rows = Math.min(tensor.rows, Math.max(1, Math.floor(headSlabBytes / (8 * model.width))));
    this.settings = settings;
    this.tensor = tensor;
    this.slab = weightArray(model.width, rows, true);
    this.change = settings.changes === undefined ? null : alignedFloats(rows * model.width);
    this.lanes = Array.from(
      { length: lanes },
      () => new HeadLane(settings, this.slab, this.change, gains, positions),
    );
  }

  static async open(settings: PassSettings): Promise<Head> {
    const { engine, files, model } = settings;
    const tensor = files.tensor(model.tied ? 'token_embd.weight' : 'output.weight');
    return new Head(settings, tensor, await loadVector(engine, files, 'output_norm.weight'));
  }

  /** Bytes besides the sequences' own: a slab, the lanes' work, and the logits of a sequence a lane. */
  get byteLength(): number {
    const logits = 4 * this.tensor.rows * this.settings.positions * this.lanes.length;
    return 8 * this.slab.values.length + logits + this.lanes.reduce((sum, lane) => sum + lane.byteLength, 0);
  }

  /** There and back, as many sequences at once as there are lanes; each `stream` becomes its gradient. */
  async run(items: readonly HeadItem[], signal?: AbortSignal): Promise<HeadResult[]> {
    const results: HeadResult[] = [];
    for (let first = 0; first < items.length; first += this.lanes.length) {
      results.push(...(await this.runTogether(items.slice(first, first + this.lanes.length), signal)));
    }
    return results;
  }

  /** What the head's matrix is multiplied with, [width, positions]: valid until the lane's next work. */
  async hidden(stream: Float32Array, lane: number, signal?: AbortSignal): Promise<Float32Array> {
    await this.lanes[lane].begin(stream, signal);
    return this.lanes[lane].hidden;
  }

  /** Logits of one stream behind the last block, [positions x vocabulary]. */
  async logits(stream: Float32Array, signal?: AbortSignal): Promise<Float32Array> {
    const { model, positions } = this.settings;
    const vocabulary = this.tensor.rows;
    const logits = new Float32Array(positions * vocabulary);
    const [lane] = this.lanes;
    await lane.begin(stream, signal);
    for (const first of this.slabStarts()) {
      await this.load(first);
      await lane.addLogits(logits, vocabulary, first, signal);
    }
    if (model.logitLimit !== null) bend(logits, model.logitLimit, null);
    return logits;
  }

  dispose(): void {
    for (const lane of this.lanes) lane.dispose();
  }

  private async runTogether(items: readonly HeadItem[], signal?: AbortSignal): Promise<HeadResult[]> {
    const { model, positions } = this.settings;
    const vocabulary = this.tensor.rows;
    const busy = items.map((item, index): BusyLane => ({
      item,
      lane: this.lanes[index],
      logits: this.lanes[index].roomForLogits(positions * vocabulary),
      squared: emptySquaredGradient(model.width, vocabulary),
      inner: 0,
      draw: null,
      input: null,
      ownRows: null,
    }));
    const starts = this.slabStarts();
    if (starts.length === 1) await this.throughOneSlab(busy, signal);
    else await this.throughSlabs(busy, starts, signal);
    return busy.map(({ squared, inner, ownRows, draw, input }) => ({
      squared,
      inner,
      ownRows,
      draw: draw as DrawnLabels,
      input,
    }));
  }

  /** Each lane goes its own way: one draws labels while others compute. */
  private async throughOneSlab(busy: readonly BusyLane[], signal?: AbortSignal): Promise<void> {
    await this.load(0);
    await this.loadChange(0);
    await inLanes(busy.length, busy, async (entry) => {
      await this.there(entry, 0, signal);
      this.turn(entry);
      await this.back(entry, 0, signal);
      await entry.lane.end(entry.item.stream, entry.squared, signal);
    });
  }

  /** All lanes share each slab while it is there, so they go in step. */
  private async throughSlabs(
    busy: readonly BusyLane[],
    starts: readonly number[],
    signal?: AbortSignal,
  ): Promise<void> {
    for (const first of starts) {
      await this.load(first);
      await inLanes(busy.length, busy, (entry) => this.there(entry, first, signal));
    }
    for (const entry of busy) this.turn(entry);
    for (const first of starts.toReversed()) {
      await this.load(first);
      await this.loadChange(first);
      await inLanes(busy.length, busy, (entry) => this.back(entry, first, signal));
    }
    await inLanes(busy.length, busy, ({ lane, item, squared }) => lane.end(item.stream, squared, signal));
  }

  private async there({ lane, item, logits }: BusyLane, first: number, signal?: AbortSignal): Promise<void> {
    if (first === 0) await lane.begin(item.stream, signal);
    await lane.addLogits(logits, this.tensor.rows, first, signal);
  }

  /** From logits to their gradient. */
  private turn(entry: BusyLane): void {
    const { item, lane, logits } = entry;
    entry.draw = this.draw(item, logits);
    if (this.settings.headInputs === true)
      entry.input = { values: lane.hidden.slice(), energy: energyOf(logits, this.tensor.rows) };
    if (this.settings.model.tied) entry.ownRows = lane.ownRows(item.tokens, logits, this.tensor.rows);
  }

  private async back(entry: BusyLane, first: number, signal?: AbortSignal): Promise<void> {
    const { lane, logits, squared } = entry;
    entry.inner += await lane.takeBack(logits, this.tensor.rows, first, squared, signal);
  }

  private draw({ sequence }: HeadItem, logits: Float32Array): DrawnLabels {
    const { seed, firstScored, model } = this.settings;
    const vocabulary = this.tensor.rows;
    return drawLabels(logits, { seed, sequence, vocabulary, firstScored, logitLimit: model.logitLimit });
  }

  private slabStarts(): number[] {
    const rows = this.slab.shape[1];
    return Array.from({ length: Math.ceil(this.tensor.rows / rows) }, (_, index) => index * rows);
  }

  /** The last slab is filled up with rows of zeros. */
  private async load(first: number): Promise<void> {
    if (this.loaded === first) return;
    const { engine, files, lanes } = this.settings;
    const [rowLength, rows] = this.slab.shape;
    const count = Math.min(rows, this.tensor.rows - first);
    this.slab.values.fill(0, count * rowLength);
    const part = { ...this.slab, shape: [rowLength, count] as const };
    await loadWeights(engine, files, this.tensor, part, lanes, first);
    fillTranspose(this.slab);
    this.loaded = first;
  }

  private async loadChange(first: number): Promise<void> {
    const { changes } = this.settings;
    if (this.change === null || changes === undefined) return;
    const [rowLength, rows] = this.slab.shape;
    const count = Math.min(rows, this.tensor.rows - first);
    this.change.fill(0, count * rowLength);
    await changes.rows(this.tensor.name, first, this.change.subarray(0, count * rowLength));
  }
}

/** Squares of each position's row, summed. */
function energyOf(gradient: Float32Array, vocabulary: number): Float32Array {
  const energy = new Float32Array(gradient.length / vocabulary);
  energy.forEach((_, position) => {
    let sum = 0;
    for (let i = position * vocabulary; i < (position + 1) * vocabulary; i++) sum += gradient[i] ** 2;
    energy[position] = sum;
  });
  return energy;
}
