/** @file Files of few bits, end to end: text that has collapsed, tensors that are lifted, models that are ternary already. */
import { readdir, stat } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { quantize, type QuantizeOptions } from '../../src/jobs/quantize.js';
import type { RunEvent } from '../../src/run/events.js';
import { damageable } from '../support/damage.js';
import { goldenPlan, runJob } from '../support/jobs.js';
import { randomFrom } from '../support/random.js';
import { places, smallRun } from '../support/small-run.js';

const fresh = await places();
/** What one test leaves in the store serves the next. */
const { home } = await fresh();
/** Without prices, and with what is measured of it left out. */
const lean = {
  ...smallRun,
  size: 14_000_000,
  locks: [String.raw`blk\.[1-7]\.|token_embd=keep`],
  method: 'rules',
  verify: false,
  threads: 2,
} as const;

const encoded = (events: readonly RunEvent[]): string[] =>
  events.flatMap((event) =>
    event.type === 'progress' && event.stage === 'encode' && event.item !== undefined ? [event.item] : [],
  );

describe('a file that has collapsed', () => {
  it(
    'is not put in place, and comes without work where it is kept all the same',
    { timeout: 60_000 },
    async () => {
      const { output, outputFolder } = await fresh();
      const options = {
        ...lean,
        home,
        output,
        locks: ['blk|output|token_embd=Q1_0'],
        coherence: true,
      } as const;
      await expect(runJob(quantize(options))).rejects.toMatchObject({
        kind: 'incoherent',
        code: 'OUTPUT_INCOHERENT',
        exitCode: 12,
      });
      expect(await readdir(outputFolder)).toEqual([]);
      const { result, events } = await runJob(quantize({ ...options, keepCollapsed: true }));
      expect(encoded(events)).toEqual([]);
      expect(result.coherence?.signs).toContain('disagrees');
      expect(result.coherence?.tokens).toBeGreaterThan(60);
      expect((await stat(output)).size).toBe(result.plan.predicted.bytes);
      const warnings = events.flatMap((event) =>
        event.type === 'note' && event.level === 'warning' ? event.message : [],
      );
      expect(warnings[0]).toMatch(/^1\.\d\d bits per weight: what it loses is not known/);
      expect(warnings[1]).toMatch(/^Kept as asked, though it agrees with the source on \d/);
      // The same prompts and the same draws: the source agrees with itself.
      const { result: same } = await runJob(quantize({ ...options, locks: ['blk|output|token_embd=Q8_0'] }));
      expect(same.coherence?.agreement.value).toBeGreaterThan(0.9);
      expect(same.coherence?.signs).toEqual([]);
      expect(same.coherence?.texts[0].source).toBe(result.coherence?.texts[0].source);
    },
  );
});

describe('a limit to the written error of every tensor', () => {
  const limit = 0.076;

  it(
    'lifts what misses it in a plan that is given, and encodes nothing else again',
    { timeout: 60_000 },
    async () => {
      const { output } = await fresh();
      const { size: _size, locks: _locks, method: _method, ...rest } = lean;
      const planFile = await goldenPlan('q4-plan.yaml', home);
      const options: QuantizeOptions = { ...rest, home, output, planFile, maxTensorError: limit };
      const { result, events } = await runJob(quantize(options));
      expect(result.lifts.length).toBeGreaterThan(0);
      expect(result.largestError.value).toBeLessThanOrEqual(limit);
      expect((await stat(output)).size).toBe(result.plan.predicted.bytes);
      const lifted = new Set(result.lifts.map(({ tensor }) => tensor));
      const fallback = result.plan.tensors.filter(({ decidedBy }) => decidedBy.kind === 'fallback');
      expect(new Set(fallback.map(({ tensor }) => tensor))).toEqual(lifted);
      const again = events.findIndex(
        (event) => event.type === 'note' && event.message.startsWith('Written errors'),
      );
      expect(new Set(encoded(events.slice(again)))).toEqual(lifted);
    },
  );

  it('that a budget leaves no room for is told, with the bytes missing', { timeout: 60_000 }, async () => {
    const { output, outputFolder } = await fresh();
    const options = {
      ...lean,
      home,
      output,
      schemes: ['Q3_K'],
      maxTensorError: 0.1,
      size: 14_300_000,
    };
    await expect(runJob(quantize(options))).rejects.toMatchObject({
      code: 'TENSOR_ERROR_IMPOSSIBLE',
      exitCode: 17,
      message: expect.stringMatching(
        /^a relative error of at most 0\.1 in every tensor and size 14300000 .* takes [\d,]+ bytes more$/,
      ),
    });
    expect(await readdir(outputFolder)).toEqual([]);
  });

  it.each(['0', '2', 'small'])('of %s is refused', async (maxTensorError) => {
    const { output } = await fresh();
    await expect(runJob(quantize({ ...lean, home, output, maxTensorError }))).rejects.toMatchObject({
      code: 'QUALITY_MALFORMED',
      exitCode: 2,
    });
  });
});

describe('a model whose weights are ternary', () => {
  let model: string;
  let output: string;

  beforeAll(async () => {
    const place = await fresh();
    ({ output } = place);
    const sound = await damageable(place.outputFolder, home);
    const random = randomFrom(4);
    model = await sound.damaged('ternary.gguf', (bytes) => {
      for (const { name, shape } of sound.header.tensors) {
        if (!/^blk\.0\..*(attn_[qkvo]|ffn).*\.weight$/.test(name) || shape.length < 2) continue;
        for (let row = 0; row < shape[1]; row++) {
          // A scale a row, as BF16 and half floats both have it.
          const scale = 0x3c00 + 8 * Math.floor(random() * 16);
          for (let column = 0; column < shape[0]; column++) {
            const code = [0, scale, scale + 0x8000][Math.floor(random() * 3)];
            bytes.writeUInt16LE(code, sound.placeOf(name, row, column));
          }
        }
      }
      // One weight of one tensor is not like the others.
      bytes.writeUInt16LE(0x3f80, sound.placeOf('blk.0.attn_q.weight', 255, 255));
    });
  });

  it('is recognised, and stored without loss', { timeout: 60_000 }, async () => {
    const { result, events } = await runJob(
      quantize({ ...lean, size: 15_700_000, schemes: ['TQ1_0'], model, home, output }),
    );
    const inTernary = result.plan.tensors
      .filter(({ scheme }) => scheme === 'TQ1_0')
      .map(({ tensor }) => tensor);
    expect(inTernary.toSorted()).toEqual(
      ['attn_k', 'attn_output', 'attn_v', 'ffn_down', 'ffn_gate', 'ffn_up'].map(
        (name) => `blk.0.${name}.weight`,
      ),
    );
    const exact = result.plan.tensors.every(({ scheme }) => ['TQ1_0', 'BF16', 'F32'].includes(scheme));
    expect(exact).toBe(true);
    // The written file, decoded: every weight of it is the source's.
    expect(result.largestError.value).toBe(0);
    expect(result.leastCosine.value).toBe(1);
    expect(events).toContainEqual(
      expect.objectContaining({
        message: expect.stringMatching(/^Ternary already, .*: 6 tensors/) as string,
      }),
    );
  });
});
