/**
 * @file Seeded Gaussian noise that can be drawn from any row on: each row has a stream of its own, named by the seed, the
 * tensor and the row, so that neither the cut into slabs nor the number of threads changes a number. The generator is
 * mulberry32, the transform Box and Muller's, both values used.
 */
import { mix32, mulberry32 } from '../../run/mulberry32.js';

/** One generator a row of a tensor. */
export class RowNoise {
  private readonly base: number;

  constructor(seed: number, tensor: string) {
    this.base = hashText(`${seed} ${tensor}`);
  }

  /** Adds standard normal noise times `scale` to the row's values, in place. */
  addTo(values: Float32Array, row: number, scale: number): void {
    const uniform = mulberry32(mix32(this.base ^ mix32(row + 1)));
    const even = values.length - (values.length % 2);
    for (let i = 0; i < even; i += 2) {
      const radius = scale * Math.sqrt(-2 * Math.log(1 - uniform()));
      const angle = 2 * Math.PI * uniform();
      values[i] += radius * Math.cos(angle);
      values[i + 1] += radius * Math.sin(angle);
    }
    if (even === values.length) return;
    values[even] += scale * Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  }
}

/** FNV-1a over the text's UTF-16 units. */
function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
