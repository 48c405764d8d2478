export { mulberry32 as randomFrom } from '../../src/run/mulberry32.js';

export function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}
