/** @file Plans with every encoder against llama.cpp's preset files: less loss at their bytes, fewer bytes at their loss. */
import { rm } from 'node:fs/promises';
import { benchFolder } from '../file.js';
import { Peer } from '../peer.js';
import type { PresetCase } from '../quality/cases.js';
import { comparePreset } from '../quality/files.js';
import type { Row } from '../report.js';
import type { EncoderSetting } from './setting.js';
import { smallerRows } from './smaller.js';

export async function presetRows(on: EncoderSetting, presets: readonly PresetCase[]): Promise<Row[]> {
  const all: EncoderSetting = { ...on, job: { ...on.job, encoder: 'auto' } };
  const folder = await benchFolder(`encoders-${process.pid}`);
  const peer = new Peer(on.job.threads);
  const rows: Row[] = [];
  try {
    for (const preset of presets) {
      const compared = await comparePreset(all, preset, peer, folder);
      rows.push(...compared.rows, ...(await smallerRows(all, compared)));
    }
  } finally {
    await peer.close();
    await rm(folder, { recursive: true, force: true });
  }
  return rows;
}
