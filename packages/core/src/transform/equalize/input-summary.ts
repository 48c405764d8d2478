/**
 * @file What is kept of one input: sizes of its columns, and some of its positions whole. Each sequence is kept apart until the end,
 * so that no sum depends on the order in which sequences come.
 */
import type { ChannelSizes } from './scales.js';

interface SequenceSums {
  readonly largest: Float32Array;
  readonly sum: Float64Array;
  readonly squares: Float64Array;
}

export class InputSummary {
  readonly columns: number;
  /** [columns x positions]: the same number of positions of every sequence, evenly spread. */
  readonly sample: Float32Array;
  private readonly kept: number;
  private readonly sequences: (SequenceSums | undefined)[];
  private positions = 0;

  /** @param kept positions of each sequence in the sample */
  constructor(columns: number, sequences: number, kept: number) {
    this.columns = columns;
    this.kept = kept;
    this.sample = new Float32Array(columns * kept * sequences);
    this.sequences = Array.from({ length: sequences }, () => undefined);
  }

  add(sequence: number, values: Float32Array): void {
    const { columns, kept, sample } = this;
    const positions = values.length / columns;
    this.positions = positions;
    this.sequences[sequence] = sumsOf(values, columns);
    for (let index = 0; index < kept; index++) {
      const position = Math.floor(((index + 0.5) * positions) / kept);
      const from = values.subarray(position * columns, (position + 1) * columns);
      sample.set(from, (sequence * kept + index) * columns);
    }
  }

  /** Mean squares of the columns: what encoders take for the importance of weights. */
  meanSquares(): Float32Array {
    const total = new Float64Array(this.columns);
    for (const sums of this.all()) addTo(total, sums.squares);
    return Float32Array.from(total, (sum) => sum / this.count);
  }

  /** Sizes of channels, each of one column or of several that carry the same. */
  sizes(channels: number, channelOf: Int32Array): ChannelSizes {
    const largest = new Float32Array(channels);
    const sum = new Float64Array(channels);
    const columnsOf = new Int32Array(channels);
    for (const channel of channelOf) columnsOf[channel]++;
    for (const sums of this.all()) {
      channelOf.forEach((channel, column) => {
        largest[channel] = Math.max(largest[channel], sums.largest[column]);
        sum[channel] += sums.sum[column];
      });
    }
    const mean = Float32Array.from(sum, (value, channel) => value / (this.count * columnsOf[channel]));
    return { largest, mean };
  }

  private get count(): number {
    return this.positions * this.sequences.length;
  }

  private all(): SequenceSums[] {
    return this.sequences.filter((sums) => sums !== undefined);
  }
}

function sumsOf(values: Float32Array, columns: number): SequenceSums {
  const largest = new Float32Array(columns);
  const sum = new Float64Array(columns);
  const squares = new Float64Array(columns);
  for (let start = 0; start < values.length; start += columns) {
    for (let column = 0; column < columns; column++) {
      const size = Math.abs(values[start + column]);
      if (size > largest[column]) largest[column] = size;
      sum[column] += size;
      squares[column] += size * size;
    }
  }
  return { largest, sum, squares };
}

function addTo(total: Float64Array, more: Float64Array): void {
  for (let i = 0; i < total.length; i++) total[i] += more[i];
}
