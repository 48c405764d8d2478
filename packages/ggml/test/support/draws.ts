/** @file Weights and importance that encoders are tried on. */
import { uniform } from './random.js';

/** A value by its place; `normal` draws from the normal distribution. */
type Draw = (index: number, normal: () => number) => number;

/** Weights as models have them, and as none has. */
export const weights: Readonly<Record<string, Draw>> = {
  normal: (_, normal) => 0.03 * normal(),
  'heavy-tailed': (_, normal) => normal() * Math.exp(2 * normal()),
  'mostly zero': (_, normal) => (normal() > 0.8 ? normal() : 0),
  'all zero': () => 0,
  'all minus zero': () => -0,
  'one constant': () => -0.5,
  'a constant a sub-block': (index) => (Math.floor(index / 32) % 3) - 1,
  negative: (_, normal) => -Math.abs(normal()) - 1e-9,
  'negative, one almost zero': (index, normal) => (index % 32 === 0 ? -1e-8 : -Math.abs(normal())),
  'negative, nearly equal': (_, normal) => -1 - 1e-6 * normal(),
  positive: (_, normal) => Math.abs(normal()),
  'small integers': (_, normal) => Math.round(2 * normal()),
  'of all magnitudes': (index, normal) => normal() * 10 ** -(Math.floor(index / 32) % 8),
  tiny: (_, normal) => 1e-12 * normal(),
  'far below half precision': (_, normal) => 1e-20 * normal(),
  subnormal: (_, normal) => 1e-41 * normal(),
  large: (_, normal) => 1e6 * normal(),
  'one large': (index) => (index % 97 === 0 ? 100 : 0),
};

/** Importance of columns, likely and unlikely. */
export const importances: Readonly<Record<string, Draw>> = {
  equal: () => 1,
  lognormal: (_, normal) => Math.exp(2 * normal()),
  'partly zero': (index, normal) => (index % 3 === 0 ? Math.exp(normal()) : 0),
  'zero in sub-blocks': (index) => Math.floor(index / 32) % 2,
  'one channel': (index) => (index === 0 ? 1 : 0),
  large: (_, normal) => 1e9 * Math.abs(normal()),
};

/** `count` draws, the same for the same seed. */
export function drawn(draw: Draw, count: number, seed: number): Float32Array {
  const next = uniform(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Float32Array.from({ length: count }, (_, index) => draw(index, normal));
}
