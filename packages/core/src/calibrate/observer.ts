/**
 * @file Picks the inputs of weight matrices out of the graph as it is computed: every `MUL_MAT` and `MUL_MAT_ID` whose
 * first source is a weight of a block or the output head, `llama-imatrix`'s rule with `--process-output`; a tied
 * embedding is collected where it serves as the head.
 */
import type { ObservedNode, ObservedTensor } from '@bitsmith/ggml';
import type { ImportanceAccumulator } from './accumulator.js';

/** Batches smaller than this are ignored, as in `llama-imatrix`. */
const SMALLEST_BATCH = 16;

const COLLECTED = /^(blk\..*|output\.weight|token_embd\.weight)$/;

export class ImportanceObserver {
  private readonly accumulator: ImportanceAccumulator;
  /** Column sums of the last dense input: q, k and v read one tensor, gate and up another. */
  private last: { input: bigint; readers: Set<string>; squares: Float64Array } | undefined;

  constructor(accumulator: ImportanceAccumulator) {
    this.accumulator = accumulator;
  }

  wants(node: ObservedNode): boolean {
    if (node.op === 'MUL_MAT_ID') return true;
    if (node.op !== 'MUL_MAT') return false;
    const input = node.source(1);
    return (
      input.shape[1] >= SMALLEST_BATCH && input.type === 'F32' && COLLECTED.test(weightName(node.source(0)))
    );
  }

  take(node: ObservedNode): void {
    if (node.op === 'MUL_MAT_ID') this.takeExperts(node);
    else this.takeDense(node);
  }

  private takeDense(node: ObservedNode): void {
    const weight = node.source(0);
    const input = node.source(1);
    const columns = input.shape[0];
    const matrices = weight.shape[2] * weight.shape[3];
    const name = weightName(weight);
    const sums = this.accumulator.sumsOf(name, columns, matrices);
    if (matrices === 1) {
      this.accumulator.addSquares(sums, this.squaresOf(input, name), rowCount(input));
      return;
    }
    const values = input.floats();
    const stride = input.strides[1] / 4;
    for (let i3 = 0; i3 < input.shape[3]; i3++) {
      for (let i2 = 0; i2 < input.shape[2]; i2++) {
        const matrix = (i3 % weight.shape[3]) * weight.shape[2] + (i2 % weight.shape[2]);
        const offset = (i3 * input.strides[3] + i2 * input.strides[2]) / 4;
        this.accumulator.addRows(sums, matrix, values, offset, stride, input.shape[1]);
      }
    }
  }

  /** Sum over rows of the squared input; computed once for all weights that read the same tensor. */
  private squaresOf(input: ObservedTensor, reader: string): Float64Array {
    // The same reader again means a new batch: the tensor is the same, its values are not.
    if (this.last !== undefined && this.last.input === input.address && !this.last.readers.has(reader)) {
      this.last.readers.add(reader);
      return this.last.squares;
    }
    const columns = input.shape[0];
    const squares = new Float64Array(columns);
    const values = input.floats();
    for (let i3 = 0; i3 < input.shape[3]; i3++) {
      for (let i2 = 0; i2 < input.shape[2]; i2++) {
        for (let row = 0; row < input.shape[1]; row++) {
          const start = (i3 * input.strides[3] + i2 * input.strides[2] + row * input.strides[1]) / 4;
          for (let column = 0; column < columns; column++) {
            const x = values[start + column];
            squares[column] += x * x;
          }
        }
      }
    }
    this.last = { input: input.address, readers: new Set([reader]), squares };
    return squares;
  }

  private takeExperts(node: ObservedNode): void {
    const weight = node.source(0);
    const input = node.source(1);
    const ids = node.source(2);
    const sums = this.accumulator.sumsOf(weightName(weight), input.shape[0], weight.shape[2]);
    const values = input.floats();
    const experts = ids.integers();
    for (let token = 0; token < ids.shape[1]; token++) {
      for (let slot = 0; slot < ids.shape[0]; slot++) {
        const expert = experts[(token * ids.strides[1] + slot * ids.strides[0]) / 4];
        const offset = ((slot % input.shape[1]) * input.strides[1] + token * input.strides[2]) / 4;
        this.accumulator.addRows(sums, expert, values, offset, 0, 1);
      }
    }
  }
}

/** A weight copied to another device for one product is named `DEVICE#WEIGHT#COPY`. */
function weightName(tensor: ObservedTensor): string {
  return /^[^#]*#(.*)#\d+$/.exec(tensor.name)?.[1] ?? tensor.name;
}

function rowCount(tensor: ObservedTensor): number {
  return tensor.shape[1] * tensor.shape[2] * tensor.shape[3];
}
