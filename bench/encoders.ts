/**
 * @file What choosing codes well is worth: at the same plan and bytes, together with the planner against llama.cpp's presets, what it
 * costs, and what making channels alike is worth before.
 *
 *     npm run bench:encoders -- [--model bundled|smollm2] [--only methods,presets,cost,activations] [--sizes 4.5,...]
 *       [--presets Q4_K_M,...] [--tokens N]
 *
 * `--tokens` is what plans run over in the live model: fewer for a quick look.
 */
import { inRun } from '@bitsmith/core';
import { openBundled } from './lib/bundled.js';
import { activationRows } from './lib/encoders/activations.js';
import { bundledEncoders, type EncoderCase, smollm2Encoders } from './lib/encoders/cases.js';
import { costRows } from './lib/encoders/cost.js';
import { methodRows } from './lib/encoders/methods.js';
import { presetRows } from './lib/encoders/presets.js';
import { openEncoderSetting } from './lib/encoders/setting.js';
import { benchFolder } from './lib/file.js';
import { follow } from './lib/follow.js';
import { readFlags, report, type Row, say } from './lib/report.js';
import { openSmollm2 } from './lib/smollm2.js';

const THREADS = 2;
/** Of the residual stream: rows of 576, the original's, hold no K-quants. */
const SMOLLM2_WIDTH = 768;
const parts = ['methods', 'presets', 'cost', 'activations'] as const;
type Part = (typeof parts)[number];

const flags = readFlags(['model', 'only', 'sizes', 'presets', 'tokens']);
const home = await benchFolder('home');
const wanted = new Set<Part>(listed('only', parts, String));
const model = flags.values['model'] ?? 'bundled';
const rows: Row[] = [];
if (model === 'bundled') {
  const { ggufPath, metadata } = await openBundled();
  rows.push(...(await compareOn(bundledEncoders, ggufPath)));
  // The same for either model.
  if (wanted.has('cost')) rows.push(...(await costRows(metadata)));
} else if (model === 'smollm2') {
  const { path, proof } = await openSmollm2(SMOLLM2_WIDTH);
  rows.push(...proof, ...(await compareOn(smollm2Encoders, path)));
} else {
  throw new Error(`expected --model bundled or smollm2, found ${String(model)}`);
}
await report('encoders', rows, flags);

async function compareOn(known: EncoderCase, location: string): Promise<Row[]> {
  if (wanted.size === 1 && wanted.has('cost')) return [];
  const { tokens } = flags.values;
  const about = tokens === undefined ? known : { ...known, liveTokens: Number(tokens) };
  const sizes = listed('sizes', about.sizes, ({ bitsPerWeight }) => String(bitsPerWeight));
  const presets = listed('presets', about.presets, ({ name }) => name);
  say(`${about.name}: importance matrix ...`);
  const on = await follow(
    inRun({ home, threads: THREADS }, (run) => openEncoderSetting(run, about, location, home)),
  );
  return [
    ...(wanted.has('methods') ? await methodRows(on, sizes) : []),
    ...(wanted.has('presets') ? await presetRows(on, presets) : []),
    ...(wanted.has('activations') ? await activationRows(on) : []),
  ];
}

/** What a flag lists of `known`, all of it unless told. @throws Error for a name that is not among them */
function listed<Item>(flag: string, known: readonly Item[], nameOf: (item: Item) => string): readonly Item[] {
  const given = flags.values[flag];
  if (given === undefined) return known;
  return String(given)
    .split(',')
    .map((text) => {
      const item = known.find((each) => nameOf(each) === text);
      if (item === undefined)
        throw new Error(`--${flag}: expected ${known.map(nameOf).join(', ')}, found ${text}`);
      return item;
    });
}
