/**
 * @file What a plan loses against llama.cpp's presets at the same size: the same source, the same importance matrix, the
 * preset's own file bytes as the budget, the same tokens of the report text, which nothing was tuned on.
 *
 *     npm run bench:quality -- [--model bundled|smollm2] [--only Q4_K_M,...] [--also NAME,...|none] [--search evolve,gradual]
 *
 * `--also` shows other ways to plan (`lib/quality/planners.ts`), `--search` what searches add (`lib/quality/search.ts`).
 */
import { rm } from 'node:fs/promises';
import { inRun } from '@bitsmith/core';
import { openBundled } from './lib/bundled.js';
import { benchFolder } from './lib/file.js';
import { follow } from './lib/follow.js';
import { Peer } from './lib/peer.js';
import { alsoRows } from './lib/quality/also.js';
import { bundledCase, type ModelCase, plannerNames, smollm2Case } from './lib/quality/cases.js';
import { type Compared, comparePreset } from './lib/quality/files.js';
import { searchNames, searchRows } from './lib/quality/search.js';
import { openSetting, type Setting } from './lib/quality/setting.js';
import { readFlags, report, type Row, say } from './lib/report.js';
import { openSmollm2 } from './lib/smollm2.js';

const THREADS = 2;
/** Of the residual stream: rows of 576, the original's, hold no K-quants. */
const SMOLLM2_WIDTH = 768;

const flags = readFlags(['model', 'only', 'also', 'search']);
const home = await benchFolder('home');
const wanted = flags.values['model'] ?? 'bundled';
if (wanted === 'bundled') {
  await report('quality', await compareOn(bundledCase, (await openBundled()).ggufPath), flags);
} else if (wanted === 'smollm2') {
  const { path, proof } = await openSmollm2(SMOLLM2_WIDTH);
  await report('quality', [...proof, ...(await compareOn(smollm2Case, path))], flags);
} else {
  throw new Error(`expected --model bundled or smollm2, found ${String(wanted)}`);
}

async function compareOn(about: ModelCase, location: string): Promise<Row[]> {
  const presets = listed(
    'only',
    about.presets.map(({ name }) => name),
  );
  const also = listed('also', plannerNames, about.planners);
  const searches = listed('search', searchNames, []);
  say(`${about.name}: importance matrix ...`);
  const on = await follow(
    inRun({ home, threads: THREADS }, (run) => openSetting(run, about, location, home)),
  );
  const compared = await compareFiles(
    on,
    about.presets.filter(({ name }) => presets.includes(name)),
  );
  const judged = compared.filter(({ preset }) => preset.most !== null);
  const rows = compared.flatMap((each) => each.rows);
  if (also.length > 0 && judged.length > 0) {
    rows.push(...(await follow(inRun({ home, threads: THREADS }, (run) => alsoRows(run, on, judged, also)))));
  }
  if (searches.length > 0) rows.push(...(await searchRows(on, judged, searches)));
  return rows;
}

async function compareFiles(on: Setting, presets: ModelCase['presets']): Promise<Compared[]> {
  const folder = await benchFolder(`quality-${process.pid}`);
  const peer = new Peer(THREADS);
  const compared: Compared[] = [];
  try {
    for (const preset of presets) compared.push(await comparePreset(on, preset, peer, folder));
  } finally {
    await peer.close();
    await rm(folder, { recursive: true, force: true });
  }
  return compared;
}

/** What a flag lists; `none` for nothing. @throws Error for a name that is not among `known` */
function listed<Name extends string>(
  flag: string,
  known: readonly Name[],
  otherwise: readonly Name[] = known,
): readonly Name[] {
  const given = flags.values[flag];
  if (given === undefined) return otherwise;
  if (given === 'none') return [];
  return String(given)
    .split(',')
    .map((text) => {
      const name = known.find((each) => each === text);
      if (name === undefined)
        throw new Error(`--${flag}: expected ${known.join(', ')} or none, found ${text}`);
      return name;
    });
}
