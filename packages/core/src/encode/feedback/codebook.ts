/**
 * @file The points of a grid as a search reads them: a point is two halves of its coordinates, and there are few different halves (81 of
 * four coordinates with three levels, 64 of two with eight). What a half costs is computed once for all points that have it.
 */

export class Codebook {
  /** Weights that a point stands for. */
  readonly dimensions: 8 | 4;
  readonly size: number;
  /** Magnitudes of all points, one after the other, in units of the least scale. */
  readonly values: Float64Array;
  /** Magnitudes that coordinates have, ascending. */
  readonly levels: Float64Array;
  /** Points in the order of their first halves: their numbers, and their second halves. */
  readonly order: Uint16Array;
  readonly second: Uint8Array;
  /** Where points with a first half begin among these, by half; where they end is where the next begin. */
  readonly starts: Uint16Array;
  /** Different halves, those that no point has included. */
  readonly halves: number;

  /** @param points [dimensions, size] */
  constructor(points: Float32Array, dimensions: 8 | 4) {
    this.dimensions = dimensions;
    this.size = points.length / dimensions;
    this.values = Float64Array.from(points);
    this.levels = Float64Array.from(new Set(points)).sort();
    this.halves = this.levels.length ** (dimensions / 2);
    const first = this.halvesAt(0);
    const second = this.halvesAt(dimensions / 2);
    this.order = Uint16Array.from(first, (_, point) => point).sort((p, q) => first[p] - first[q] || p - q);
    this.second = Uint8Array.from(this.order, (point) => second[point]);
    this.starts = new Uint16Array(this.halves + 1);
    for (const half of first) this.starts[half + 1] += 1;
    for (let half = 0; half < this.halves; half++) this.starts[half + 1] += this.starts[half];
  }

  private halvesAt(first: number): Uint8Array {
    const { dimensions, levels, size, values } = this;
    return Uint8Array.from({ length: size }, (_, point) => {
      let half = 0;
      for (let axis = dimensions / 2 - 1; axis >= 0; axis--)
        half = half * levels.length + levels.indexOf(values[point * dimensions + first + axis]);
      return half;
    });
  }
}
