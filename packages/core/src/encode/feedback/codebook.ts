/**
 * @file The points of a grid as a search reads them: a point is two halves of its coordinates, and there are few different halves (81 of
 * four coordinates with three levels, 64 of two with eight). What a half costs is computed once for all points that have it.
 */

export class Codebook {
  /** Weights that a point stands for. */
  readonly dimensions: number;
  readonly size: number;
  /** Magnitudes of all points, one after the other, in units of the least scale. */
  readonly values: Float64Array;
  /** Magnitudes that coordinates have, ascending. */
  readonly levels: Float64Array;
  /** Of every point, its halves: level numbers of a half's coordinates, the first counting least. */
  readonly first: Uint8Array;
  readonly second: Uint8Array;
  /** Different halves, those that no point has included. */
  readonly halves: number;

  /** @param points [dimensions, size] */
  constructor(points: Float32Array, dimensions: number) {
    this.dimensions = dimensions;
    this.size = points.length / dimensions;
    this.values = Float64Array.from(points);
    this.levels = Float64Array.from(new Set(points)).sort();
    this.halves = this.levels.length ** (dimensions / 2);
    this.first = this.halvesAt(0);
    this.second = this.halvesAt(dimensions / 2);
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
