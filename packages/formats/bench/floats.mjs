/**
 * @file How fast small floats are converted, in millions of values a second, beside a plain loop that copies float32: what
 * one thread of this machine can move at all. Run after `npm run build`:
 *
 *     node packages/formats/bench/floats.mjs [--json FILE] [--check]
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  decodeBf16,
  decodeF16,
  decodeF8E4m3,
  decodeF8E5m2,
  encodeBf16,
  encodeF16,
  encodeF8E4m3,
  encodeF8E5m2,
} from '../dist/index.js';

const COUNT = 2 ** 22;
const ROUNDS = 15;
/** Share of the plain copy's speed that each conversion must reach. */
const BAR = 0.2;

const { values: options } = parseArgs({ options: { json: { type: 'string' }, check: { type: 'boolean' } } });

const weights = seededWeights(COUNT);
const floats = new Float32Array(COUNT);
const cases = [
  ['F16', decodeF16, encodeF16, new Uint16Array(COUNT)],
  ['BF16', decodeBf16, encodeBf16, new Uint16Array(COUNT)],
  ['F8_E4M3', decodeF8E4m3, encodeF8E4m3, new Uint8Array(COUNT)],
  ['F8_E5M2', decodeF8E5m2, encodeF8E5m2, new Uint8Array(COUNT)],
].flatMap(([name, decode, encode, codes]) => [
  [`encode ${name}`, () => encode(weights, codes)],
  [`decode ${name}`, () => decode(codes, floats)],
]);

const copy = measure(() => plainCopy(weights, floats));
const rows = cases.map(([name, run]) => {
  const { median, standardError } = measure(run);
  const ratio = median / copy.median;
  return {
    case: name,
    metric: 'Mvalues/s',
    ours: median,
    peer: copy.median,
    ratio,
    standardError,
    bar: BAR,
    pass: ratio >= BAR,
  };
});

console.log(`${COUNT} values, one thread, median of ${ROUNDS}; peer: a plain loop that copies float32\n`);
console.log('case             Mvalues/s     +-    peer   ratio');
for (const row of rows) {
  const columns = [
    row.ours.toFixed(0).padStart(9),
    row.standardError.toFixed(0).padStart(6),
    row.peer.toFixed(0).padStart(7),
  ];
  console.log(
    `${row.case.padEnd(16)} ${columns.join(' ')} ${row.ratio.toFixed(2).padStart(7)}${row.pass ? '' : '  below the bar'}`,
  );
}

if (options.json !== undefined) {
  const result = { bench: 'floats', versions: { node: process.version }, rows };
  writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
}
if (options.check && rows.some(({ pass }) => !pass)) process.exitCode = 1;

function plainCopy(source, target) {
  for (let index = 0; index < source.length; index++) target[index] = source[index];
}

function measure(run) {
  run();
  run();
  const speeds = Array.from({ length: ROUNDS }, () => {
    const start = performance.now();
    run();
    return COUNT / (performance.now() - start) / 1000;
  }).sort((a, b) => a - b);
  const mean = speeds.reduce((sum, speed) => sum + speed, 0) / ROUNDS;
  const variance = speeds.reduce((sum, speed) => sum + (speed - mean) ** 2, 0) / (ROUNDS - 1);
  return { median: speeds[Math.floor(ROUNDS / 2)], standardError: Math.sqrt(variance / ROUNDS) };
}

/** Roughly normal, scaled like a model's weights, the same on every run. */
function seededWeights(count) {
  let state = 1;
  const uniform = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32;
  return Float32Array.from({ length: count }, () => (uniform() + uniform() + uniform() - 1.5) * 0.04);
}
