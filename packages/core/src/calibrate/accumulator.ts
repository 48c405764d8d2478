/**
 * @file The importance matrix's arithmetic: for every weight matrix, the sum over tokens of its input squared, per input
 * channel (and per expert), as `llama-imatrix` collects it. Sums are kept in float64.
 */
import { BitsmithError, type ImportanceEntry, type ImportanceMatrix } from '@bitsmith/formats';

/** Name under which the calibration text's token frequencies are kept: how often each embedding row was looked up. */
export const ROW_COUNTS = 'token_embd.weight.row_counts';

interface Sums {
  readonly columns: number;
  readonly matrices: number;
  readonly inSum2: Float64Array;
  readonly counts: Float64Array;
}

/** Sums of squared inputs by weight name. */
export class ImportanceAccumulator {
  private readonly entries = new Map<string, Sums>();
  readonly rowCounts: Float64Array;

  /** @param vocabulary number of embedding rows */
  constructor(vocabulary: number) {
    this.rowCounts = new Float64Array(vocabulary);
  }

  /**
   * The sums of one weight; `counts` has one entry for a dense weight, one an expert otherwise.
   * @throws BitsmithError `IMPORTANCE_SHAPE` when the name was seen with another shape.
   */
  sumsOf(name: string, columns: number, matrices: number): Sums {
    let sums = this.entries.get(name);
    if (sums === undefined) {
      sums = {
        columns,
        matrices,
        inSum2: new Float64Array(columns * matrices),
        counts: new Float64Array(matrices),
      };
      this.entries.set(name, sums);
    }
    if (sums.columns !== columns || sums.matrices !== matrices) {
      throw new BitsmithError(
        'importance-file',
        'IMPORTANCE_SHAPE',
        `expected ${name} with ${sums.columns} columns x ${sums.matrices} matrices as before, found ${columns} x ${matrices}`,
      );
    }
    return sums;
  }

  /** Adds rows of inputs to one matrix of a weight. `values` holds `rows` rows, `stride` floats apart. */
  addRows(
    sums: Sums,
    matrix: number,
    values: Float32Array,
    offset: number,
    stride: number,
    rows: number,
  ): void {
    const { columns, inSum2 } = sums;
    const base = matrix * columns;
    for (let row = 0; row < rows; row++) {
      const start = offset + row * stride;
      for (let column = 0; column < columns; column++) {
        const x = values[start + column];
        inSum2[base + column] += x * x;
      }
    }
    sums.counts[matrix] += rows;
  }

  /** Adds column sums of squares over `rows` rows to a dense weight. */
  addSquares(sums: Sums, squares: Float64Array, rows: number): void {
    for (let column = 0; column < squares.length; column++) sums.inSum2[column] += squares[column];
    sums.counts[0] += rows;
  }

  /** Weights collected so far. */
  get size(): number {
    return this.entries.size;
  }

  countTokens(tokens: Int32Array): void {
    for (const token of tokens) this.rowCounts[token]++;
  }

  /** Adds a part that was collected before, for example by an earlier process. */
  merge(part: ImportanceMatrix): void {
    for (const [name, entry] of part.entries) {
      const sums = this.sumsOf(name, entry.columns, entry.matrices);
      for (let i = 0; i < entry.inSum2.length; i++) sums.inSum2[i] += entry.inSum2[i];
      for (let i = 0; i < entry.counts.length; i++) sums.counts[i] += entry.counts[i];
    }
    const rows = part.extra.get(ROW_COUNTS);
    if (rows !== undefined) for (let i = 0; i < rows.values.length; i++) this.rowCounts[i] += rows.values[i];
  }

  /** Names of weights whose sums are not finite in a file's float32: the model's activations overflow there. */
  nonFinite(): string[] {
    const fits = (sum: number): boolean => Number.isFinite(Math.fround(sum));
    return [...this.entries].filter(([, sums]) => !sums.inSum2.every(fits)).map(([name]) => name);
  }

  /** The matrix as a file stores it, names in order. */
  toImportanceMatrix(about: { dataset: string; chunks: number; contextTokens: number }): ImportanceMatrix {
    const names = [...this.entries.keys()].sort();
    const entries = new Map<string, ImportanceEntry>();
    for (const name of names) {
      const sums = this.entries.get(name) as Sums;
      entries.set(name, {
        columns: sums.columns,
        matrices: sums.matrices,
        inSum2: Float32Array.from(sums.inSum2),
        counts: Float32Array.from(sums.counts),
      });
    }
    return {
      datasets: [about.dataset],
      chunkCount: about.chunks,
      chunkSize: about.contextTokens,
      entries,
      extra: new Map([
        [ROW_COUNTS, { shape: [this.rowCounts.length], values: Float32Array.from(this.rowCounts) }],
      ]),
    };
  }
}
