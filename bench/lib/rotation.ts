/**
 * @file An orthogonal map of residual channels, made of plane rotations: in every round all channels are paired at random and
 * each pair is turned by an angle of its own. Everything is in double precision.
 *
 * RMSNorm with equal gains only looks at a vector's length, so it commutes with any orthogonal map R. A model whose
 * embeddings are R e, whose readers are W R' and whose writers are R W therefore computes the same function; its stored
 * weights, however, are mixtures of several of the old ones and lie on no common grid any more.
 */
import { randomWords } from './random.js';

interface PlaneRotation {
  readonly first: number;
  readonly second: number;
  readonly cos: number;
  readonly sin: number;
}

export class ChannelRotation {
  readonly channels: number;
  private readonly planes: readonly PlaneRotation[];

  /** @param rounds after k of them a channel is a mixture of up to 2^k */
  constructor(channels: number, rounds: number, seed: number) {
    if (channels % 2 !== 0) throw new Error(`expected an even number of channels, found ${channels}`);
    this.channels = channels;
    const words = randomWords(seed);
    this.planes = Array.from({ length: rounds }, () => randomRound(channels, words)).flat();
  }

  /** Rotates vectors of `channels` values that lie one after the other, in place. */
  rotateRows(values: Float64Array): void {
    const { channels, planes } = this;
    for (let row = 0; row < values.length; row += channels) {
      for (const { first, second, cos, sin } of planes) {
        const x = values[row + first];
        const y = values[row + second];
        values[row + first] = cos * x - sin * y;
        values[row + second] = sin * x + cos * y;
      }
    }
  }

  /** Rotates the columns of a matrix of `channels` rows, in place: what the matrix writes is then rotated. */
  rotateColumns(values: Float64Array): void {
    const { channels, planes } = this;
    const columns = values.length / channels;
    for (const { first, second, cos, sin } of planes) {
      for (let column = 0; column < columns; column++) {
        const x = values[first * columns + column];
        const y = values[second * columns + column];
        values[first * columns + column] = cos * x - sin * y;
        values[second * columns + column] = sin * x + cos * y;
      }
    }
  }
}

/** Every channel once, in pairs. */
function randomRound(channels: number, words: () => number): PlaneRotation[] {
  const order = shuffled(channels, words);
  return Array.from({ length: channels / 2 }, (_, pair) => {
    const angle = (2 * Math.PI * words()) / 2 ** 32;
    return {
      first: order[2 * pair],
      second: order[2 * pair + 1],
      cos: Math.cos(angle),
      sin: Math.sin(angle),
    };
  });
}

/** Fisher and Yates. */
function shuffled(count: number, words: () => number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const other = Math.floor((words() * (last + 1)) / 2 ** 32);
    [order[last], order[other]] = [order[other], order[last]];
  }
  return order;
}
