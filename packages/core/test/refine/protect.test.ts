import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { adoptCalibration } from '../../src/calibrate/calibrate.js';
import { plan } from '../../src/jobs/plan.js';
import { openModel } from '../../src/model/open.js';
import { storageOptions } from '../../src/plan/options.js';
import { makePlan } from '../../src/plan/plan.js';
import type { Choice } from '../../src/plan/types.js';
import { protectPlan } from '../../src/refine/protect.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { damageable } from '../support/damage.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const home = path.join(root, 'home');
const HEADER = 100_000;
const down = 'blk.0.ffn_down.weight';
let planted: string;

/** Bits of the nearest BF16. */
const bfloat16 = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0] >>> 16;

beforeAll(async () => {
  const sound = await damageable(root, home);
  // One channel of the projection's input made large, and one weight that hands it on.
  planted = await sound.damaged('planted.gguf', (bytes) => {
    for (const part of ['ffn_gate', 'ffn_up']) {
      for (let i = 0; i < 256; i++) {
        const at = sound.placeOf(`blk.0.${part}.weight`, 5, i);
        const value = Float32Array.of(0);
        new Uint32Array(value.buffer)[0] = bytes.readUInt16LE(at) << 16;
        bytes.writeUInt16LE(bfloat16(value[0] * 8), at);
      }
    }
    bytes.writeUInt16LE(bfloat16(6), sound.placeOf('blk.0.ffn_down.weight', 7, 5));
  });
});

/** Prices a weight: of the projection with the super weight, and of the last gate, which costs less than they say. */
interface Prices {
  readonly down: number;
  readonly gate: number;
}

/** A plan for two tensors, of which the bytes lift one from Q2_K to Q4_K; all others stay as they are. */
async function protectedPlan(prices: Prices) {
  const nats: Record<string, number> = { [down]: prices.down, 'blk.7.ffn_gate.weight': prices.gate };
  const work = inRun({ home, threads: 2 }, async function* (run) {
    const model = yield* openModel(planted, { store: run.store });
    const calibration = yield* adoptCalibration(run, model, path.join(golden, 'orator-8m.imatrix.gguf'));
    const corpus = await loadCorpus();
    const [search] = await tokenizeTexts(run, model, [corpus.search], 64);
    const storage = storageOptions(model.tensors);
    const choices = storage.map(({ tensor, options }): Choice => {
      const price = nats[tensor.name];
      const schemes = price === undefined ? [tensor.type] : ['Q2_K', 'Q4_K', 'Q8_0'];
      const share: Record<string, number> = { Q2_K: 1, Q4_K: 0.1, Q8_0: 0.01 };
      const candidates = options
        .filter(({ scheme }) => schemes.includes(scheme))
        .map(({ scheme, bytes }) => ({ scheme, bytes, klNats: (price ?? 0) * (share[scheme] ?? 0) }));
      return { tensor: tensor.name, candidates, constraint: null };
    });
    const bytes = choices.reduce((sum, { candidates }) => sum + candidates[0].bytes, HEADER) + 50_000;
    const budget = { request: 'a size', bytes };
    const source = { name: model.name, sha256: model.sha256 };
    const solveAgain = (open: readonly Choice[]) =>
      makePlan({ source, choices: open, budget, headerBytes: HEADER });
    const made = solveAgain(choices);
    const input = { model, calibration, search, storage, choices, groups: [], headerBytes: HEADER };
    const how = { bits: 8, floorTokens: 512, spikeText: firstChunks(search, 256), solveAgain };
    return { made, ...(yield* protectPlan(run, made, { ...input, ...how })) };
  });
  const { made, plan: after, protection } = (await runJob(work)).result;
  const schemeOf = (of: typeof made): string | undefined =>
    of.tensors.find(({ tensor }) => tensor === down)?.scheme;
  return { made, after, protection, before: schemeOf(made), now: schemeOf(after) };
}

describe('a super weight whose prices know nothing of it', () => {
  it('is protected within the same bytes, and what it bought is measured', { timeout: 60_000 }, async () => {
    const { made, after, protection, before, now } = await protectedPlan({ down: 1e-4, gate: 1.1e-4 });
    expect([before, now]).toEqual(['Q2_K', 'Q4_K']);
    expect(after.predicted.bytes).toBeLessThanOrEqual(made.budget.bytes);
    expect(after.tensors.find(({ tensor }) => tensor === down)?.decidedBy).toMatchObject({
      kind: 'floor',
      note: expect.stringMatching(/^protected, nothing below Q4_K: it holds 1 super weight/) as string,
    });
    expect(protection).toMatchObject({ superWeights: 1, taken: true, tokens: 512, evidence: 'measured' });
    const [full, step] = protection.tried;
    expect(
      [full, step].map(({ tensor, spikes, protectedScheme }) => [tensor, spikes, protectedScheme]),
    ).toEqual([
      [down, 1, 'Q8_0'],
      [down, 1, 'Q4_K'],
    ]);
    expect(step.pays).toBe(true);
    expect(step.savedNats.value).toBeGreaterThan(step.priceNats);
    const { without, with: protectedLoss, difference } = protection;
    expect(protectedLoss!.value).toBeLessThan(without!.value);
    expect(difference!.nats).toBeCloseTo(protectedLoss!.value - without!.value, 9);
  });

  it('is left as it is where prices have seen to it', { timeout: 60_000 }, async () => {
    const { made, after, protection, before } = await protectedPlan({ down: 5, gate: 1e-4 });
    expect(before).toBe('Q4_K');
    expect(protection.tried.map(({ protectedScheme, pays }) => [protectedScheme, pays])).toEqual([
      ['Q8_0', false],
    ]);
    expect(protection).toMatchObject({ taken: false, without: null, with: null, difference: null });
    expect(after).toEqual(made);
  });
});

it.each([
  [{ coverage: 0.02 }, 'COVERAGE_INVALID'],
  [{ coverage: 0 }, 'COVERAGE_INVALID'],
  [{ protectBits: 4 }, 'PROTECT_BITS_INVALID'],
  [{ method: 'rules' }, 'PROTECTION_WITHOUT_PRICES'],
  [{ preset: 'Q4_K_M', bitsPerWeight: undefined }, 'PROTECTION_WITHOUT_PRICES'],
  [{ protectSuperWeights: false, coverage: 0.001 }, 'PROTECTION_MISSING'],
] as const)('%j beside protection is %s, before anything is opened', async (more, code) => {
  const work = plan({ model: orator, home, bitsPerWeight: 3, protectSuperWeights: true, ...more });
  await expect(runJob(work)).rejects.toMatchObject({ kind: 'arguments', code, exitCode: 2 });
});
