import path from 'node:path';
import { loadEngine } from '@bitsmith/ggml';
import { describe, expect, test } from 'vitest';
import type { EqualizeMode, SiteScales } from '../../src/transform/equalize/choose.js';
import { runEqualize } from '../../src/transform/equalize/equalize-task.js';
import { runFold } from '../../src/transform/equalize/fold-task.js';
import { channelScales, outlierRatio, refuseBadAlpha } from '../../src/transform/equalize/scales.js';
import { expectFailure } from '../support/errors.js';
import { temporaryFolder } from '../support/temporary.js';
import { openPass } from '../support/tiny-pass.js';
import {
  type TinyShape,
  tinyFamilies,
  tinyFamilyNames,
  tinyTokens,
  WeightEditor,
  writeTinyTransformer,
} from '../support/tiny-transformer.js';

const engine = loadEngine({ threads: 2 });
const folder = await temporaryFolder();
const settings = { threads: 2, verbose: false };
const POSITIONS = 24;
const half: EqualizeMode = { kind: 'alpha', alpha: 0.5 };
const search: EqualizeMode = { kind: 'search', rounding: { scheme: 'affine4-g16', activations: false } };
const sequencesOf = ({ vocabulary }: TinyShape): Int32Array[] =>
  [1, 2, 3].map((seed) => tinyTokens(POSITIONS, vocabulary, seed));

async function sitesOf(file: string, shape: TinyShape, mode: EqualizeMode): Promise<readonly SiteScales[]> {
  return await sitesOn(2, file, shape, mode);
}

async function sitesOn(
  threads: number,
  file: string,
  shape: TinyShape,
  mode: EqualizeMode,
): Promise<readonly SiteScales[]> {
  const blocks = Array.from({ length: shape.blocks }, (_, block) => block);
  const parameters = { files: [file], positions: POSITIONS, sequences: sequencesOf(shape), mode, blocks };
  const found: SiteScales[] = [];
  await runEqualize(parameters, ({ sites }) => found.push(...sites), { ...settings, threads });
  return found;
}

async function folded(file: string, sites: readonly SiteScales[]): Promise<string> {
  const output = file.replace('.gguf', '-folded.gguf');
  const scales = sites.map((site) => Float32Array.from(site.scales));
  await runFold({ files: [file], output, scales }, () => undefined, settings);
  return output;
}

async function logitsOf(file: string, { vocabulary }: TinyShape): Promise<Float32Array> {
  await using opened = await openPass(engine, file, { positions: POSITIONS });
  return await opened.pass.logits({ index: 0, tokens: tinyTokens(POSITIONS, vocabulary, 9) });
}

async function write(name: string, shape: TinyShape): Promise<string> {
  const file = path.join(folder, `${name.replaceAll(/\W+/g, '-')}.gguf`);
  await writeTinyTransformer(file, shape);
  return file;
}

function siteOf(sites: readonly SiteScales[], kind: SiteScales['kind'], block: number): SiteScales {
  return sites.find((site) => site.kind === kind && site.block === block) as SiteScales;
}

describe('the function stays what it was', () => {
  test.each(tinyFamilyNames)('%s', async (name) => {
    const shape: TinyShape = tinyFamilies[name];
    const file = await write(name, shape);
    const sites = await sitesOf(file, shape, half);
    expect(sites).toHaveLength(4 * shape.blocks);
    for (const { scales } of sites) expect(Math.max(...scales) / Math.min(...scales)).toBeGreaterThan(1.25);
    const [before, after] = [await logitsOf(file, shape), await logitsOf(await folded(file, sites), shape)];
    let worst = 0;
    before.forEach((logit, i) => (worst = Math.max(worst, Math.abs(logit - after[i]))));
    // GELU is looked up by half floats: a last bit may fall on the next of them.
    expect(worst).toBeLessThan(shape.architecture === 'gemma3' ? 5e-3 : 2e-5);
    expect(worst).toBeGreaterThan(0);
  });
});

test('an alpha of 1 makes all channels alike', async () => {
  const shape = tinyFamilies.qwen3;
  const sites = await sitesOf(await write('alike', shape), shape, { kind: 'alpha', alpha: 1 });
  for (const { outliers } of sites) {
    expect(outliers.before).toBeGreaterThan(1.05);
    expect(outliers.after).toBeCloseTo(1, 5);
  }
});

describe('searched scales', () => {
  const shape: TinyShape = { ...tinyFamilies.llama, width: 64, feedForward: 96 };

  test('take an outlier away, and never leave more error than there was', async () => {
    const file = await write('outliers', shape);
    const gain = { tensor: 'blk.1.ffn_norm.weight', row: 0, column: 7 };
    await new WeightEditor(file).setting(gain, 60, async () => {
      const sites = await sitesOf(file, shape, search);
      for (const { error } of sites) expect(error?.after).toBeLessThanOrEqual(error?.before ?? 0);
      const loud = siteOf(sites, 'mlp-input', 1);
      expect(loud.outliers.before).toBeGreaterThan(20);
      expect(loud.outliers.after).toBeLessThan(loud.outliers.before / 2);
      expect(loud.error?.after).toBeLessThan(0.8 * (loud.error?.before ?? 0));
    });
  });

  test('are the same for any number of lanes', async () => {
    const file = await write('lanes', shape);
    expect(await sitesOn(1, file, shape, search)).toEqual(await sitesOn(3, file, shape, search));
  });

  test('stay 1 where a channel carries nothing', async () => {
    const file = await write('dead', shape);
    const gain = { tensor: 'blk.0.attn_norm.weight', row: 0, column: 5 };
    const sites = await new WeightEditor(file).setting(gain, 0, () => sitesOf(file, shape, half));
    const site = siteOf(sites, 'attention-input', 0);
    expect(site.scales[5]).toBe(1);
    expect(site.scales.every(Number.isFinite)).toBe(true);
  });
});

describe('scales by sizes', () => {
  const sizes = { largest: Float32Array.of(8, 2, 0, 4), mean: Float32Array.of(2, 1, 0, 0.5) };
  const weights = Float32Array.of(0.5, 2, 1, 0);

  test('follow the formula, up to a common factor, and are 1 without a size', () => {
    const [loud, quiet, dead, unread] = channelScales({ family: 'smooth', alpha: 0.5 }, sizes, weights);
    expect(loud / quiet).toBeCloseTo(Math.sqrt(8 / 0.5) / Math.sqrt(2 / 2), 5);
    expect(loud * quiet).toBeCloseTo(1, 5);
    expect([dead, unread]).toEqual([1, 1]);
    const [first, second] = channelScales({ family: 'aware', alpha: 0.3 }, sizes, weights);
    expect(first / second).toBeCloseTo(2 ** 0.3, 5);
  });

  test('outliers are held against the channel in the middle', () => {
    expect(outlierRatio(Float32Array.of(1, 40, 2, 0, 4))).toBeCloseTo(40 / 3, 5);
    expect(outlierRatio(new Float32Array(3))).toBe(1);
  });

  test.each([-0.1, 1.1, Number.NaN])('an alpha of %f is refused', async (alpha) => {
    await expectFailure(() => refuseBadAlpha(alpha), 'equalization', 'ALPHA_INVALID', /from 0 to 1/);
  });
});
