import { layoutGguf } from '@bitsmith/formats';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { applyLocks, parseLock } from '../../src/plan/locks.js';
import { dataRange, storageOptions } from '../../src/plan/options.js';
import { makePlan } from '../../src/plan/plan.js';
import { writePlanFile } from '../../src/plan/plan-file.js';
import { planFromFile } from '../../src/plan/plan-from-file.js';
import { readPlanFile } from '../../src/plan/read-plan-file.js';
import { choicesOf, smallLlama } from './models.js';

const tensors = smallLlama(2);
const model = { name: 'small', sha256: 'ab'.repeat(32), tensors };
const headerBytes = layoutGguf({ metadata: new Map(), tensors }).header.byteLength;
const choices = choicesOf(tensors);
const { smallestBytes, largestBytes } = dataRange(storageOptions(tensors));

function planAt(share: number) {
  const bytes = headerBytes + Math.floor(smallestBytes + share * (largestBytes - smallestBytes));
  return makePlan({ source: model, choices, budget: { request: `size ${bytes}`, bytes }, headerBytes });
}

const plan = planAt(0.2);
const text = writePlanFile(plan);
const lineOf = (part: string) => text.split('\n').findIndex((line) => line.includes(part)) + 1;

/** The file with one line, found by a part of it, replaced (or removed). */
function edited(part: string, line: string | null): string {
  expect(lineOf(part)).toBeGreaterThan(0);
  const lines = text.split('\n');
  lines.splice(lineOf(part) - 1, 1, ...(line === null ? [] : [line]));
  return lines.join('\n');
}

const refused = (code: string, message: string | RegExp, more: object = {}) =>
  expect.objectContaining({ kind: 'plan', code, message: expect.stringMatching(message), ...more });

describe('writePlanFile', () => {
  it('gives every tensor a line that a person can read', () => {
    const norm = plan.tensors.findIndex(({ tensor }) => tensor === 'blk.0.attn_norm.weight');
    expect(text).toContain('  blk.0.attn_norm.weight: F32 # 1,024 bytes, 0 nats; kept as stored: a vector\n');
    expect(text).toMatch(
      /^ {2}blk\.1\.ffn_down\.weight: [A-Z0-9_]+ # [\d,]+ bytes, 0\.0\d+ nats; by price; up: .* bytes more; down: .* bytes less$/m,
    );
    expect(lineOf('blk.0.attn_norm.weight') - lineOf('tensors:')).toBe(norm + 1);
    expect(text.startsWith('# A Bitsmith plan: how every tensor of one model is stored.\n')).toBe(true);
  });

  it('is plain YAML', () => {
    expect(parse(text)).toMatchObject({
      version: 1,
      source: { name: 'small', sha256: model.sha256 },
      budget: plan.budget,
      predicted: { bytes: plan.predicted.bytes },
      hash: plan.hash,
      tensors: Object.fromEntries(plan.tensors.map(({ tensor, scheme }) => [tensor, scheme])),
    });
  });

  it('quotes what needs it: a hash that looks like a number, names with odd letters', () => {
    const odd = { ...plan, source: { name: 'a: b # c', sha256: `1e${'0'.repeat(62)}` } };
    expect(parse(writePlanFile(odd)).source).toEqual(odd.source);
  });
});

describe('readPlanFile', () => {
  it('reads back every plan, and the same plan comes of it', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1, noNaN: true }), (share) => {
        const written = planAt(share);
        const file = readPlanFile(writePlanFile(written), model);
        const again = planFromFile({ source: model, file, tensors, headerBytes, choices });
        expect(again.hash).toBe(written.hash);
        expect(again.budget).toEqual(written.budget);
        expect(again.predicted.bytes).toBe(written.predicted.bytes);
        expect(again.predicted.klNats).toBeCloseTo(written.predicted.klNats as number, 12);
      }),
      { numRuns: 30 },
    );
  });

  it('lets an edited scheme win, in any case of letters, and computes the rest anew', () => {
    const file = readPlanFile(edited('blk.0.attn_q', '  blk.0.attn_q.weight: q8_0'), model);
    const changed = planFromFile({ source: model, file, tensors, headerBytes, choices });
    const line = changed.tensors.find(({ tensor }) => tensor === 'blk.0.attn_q.weight');
    const price = choices
      .find(({ tensor }) => tensor === 'blk.0.attn_q.weight')
      ?.candidates.find(({ scheme }) => scheme === 'Q8_0');
    expect(line).toEqual({
      tensor: 'blk.0.attn_q.weight',
      scheme: 'Q8_0',
      bytes: (65536 * 8.5) / 8,
      klNats: price?.klNats,
      decidedBy: { kind: 'plan-file', note: 'as the plan file says' },
      up: expect.objectContaining({ bytes: expect.any(Number) }),
      down: expect.objectContaining({ bytes: expect.any(Number) }),
      reason: expect.stringMatching(
        /^as the plan file says; up: \S+ saves .* bytes more; down: \S+ loses .* bytes less$/,
      ),
    });
    expect(changed.hash).not.toBe(plan.hash);
    expect(changed.predicted).toMatchObject({ klLowerBound: null, evidence: 'estimated' });
  });

  it('does not trust figures: without prices the loss is unknown', () => {
    const file = readPlanFile(text, model);
    const unpriced = planFromFile({ source: model, file, tensors, headerBytes });
    expect(unpriced.predicted).toMatchObject({ bytes: plan.predicted.bytes, klNats: null });
    expect(unpriced.tensors.find(({ scheme }) => scheme === 'F32')?.klNats).toBe(0);
    expect(writePlanFile(unpriced)).toMatch(
      /attn_q\.weight: \S+ # [\d,]+ bytes, loss not measured; as the plan file says; up: \S+, not priced, for .* bytes more; down: /,
    );
  });

  it('lets keep stand for the stored type, and locks win over the file', () => {
    const file = readPlanFile(edited('blk.0.attn_q', '  blk.0.attn_q.weight: keep'), model);
    expect(file.schemes.get('blk.0.attn_q.weight')).toBe('BF16');
    const locks = applyLocks([parseLock('attn_q=Q5_K')], tensors);
    const locked = planFromFile({ source: model, file, tensors, headerBytes, choices, locks });
    expect(locked.tensors.find(({ tensor }) => tensor === 'blk.0.attn_q.weight')).toMatchObject({
      scheme: 'Q5_K',
      decidedBy: { kind: 'lock', note: "locked by 'attn_q=Q5_K'" },
      up: { scheme: 'Q5_1', bytes: 4096, klNats: null },
    });
  });

  it('names the line of an unknown tensor and the nearest name', () => {
    const file = edited('blk.0.attn_q', '  blk.0.atn_q.weight: Q4_K');
    expect(() => readPlanFile(file, model)).toThrowError(
      refused(
        'PLAN_TENSOR_UNKNOWN',
        `^plan file, line ${lineOf('blk.0.attn_q')}: the model has no tensor "blk.0.atn_q.weight"$`,
        {
          suggestion: expect.stringContaining('blk.0.attn_q.weight'),
        },
      ),
    );
  });

  it('names missing tensors', () => {
    expect(() => readPlanFile(edited('blk.1.ffn_up', null), model)).toThrowError(
      refused(
        'PLAN_TENSOR_MISSING',
        `^plan file, line ${lineOf('tensors:')}: the list lacks blk\\.1\\.ffn_up\\.weight$`,
      ),
    );
  });

  it('names the line of an unknown scheme and the nearest one', () => {
    expect(() => readPlanFile(edited('blk.0.attn_q', '  blk.0.attn_q.weight: Q4_K_M'), model)).toThrowError(
      refused(
        'SCHEME_UNKNOWN',
        `^plan file, line ${lineOf('blk.0.attn_q')}: expected a scheme, found "Q4_K_M"$`,
        {
          suggestion: expect.stringMatching(/^Did you mean Q4_K or /),
        },
      ),
    );
  });

  it('names the line of a scheme that the rows do not fit', () => {
    const odd = smallLlama(1, 64);
    const oddModel = { name: 'odd', sha256: 'cd', tensors: odd };
    const written = [
      'version: 1',
      'source: {name: odd, sha256: cd}',
      'budget: {request: size 1MB, bytes: 1000000}',
      'tensors:',
      ...odd.map(({ name }) => `  ${name}: ${name.includes('attn_q') ? 'Q4_K' : 'keep'}`),
    ].join('\n');
    expect(() => readPlanFile(written, oddModel)).toThrowError(
      refused(
        'SCHEME_ILLEGAL',
        /^plan file, line 7: Q4_K stores rows of a multiple of 256 weights, but blk\.0\.attn_q\.weight has rows of 64$/,
        {
          suggestion: expect.stringContaining('Q4_0'),
        },
      ),
    );
  });

  it('refuses to quantize a norm', () => {
    expect(() =>
      readPlanFile(edited('blk.0.attn_norm', '  blk.0.attn_norm.weight: Q8_0'), model),
    ).toThrowError(
      refused('PLAN_TENSOR_KEPT', /blk\.0\.attn_norm\.weight is never quantized \(a vector\), found Q8_0$/),
    );
  });

  it('refuses a plan for other weights', () => {
    expect(() => readPlanFile(text, { ...model, sha256: 'cd'.repeat(32) })).toThrowError(
      refused(
        'PLAN_FOR_OTHER_WEIGHTS',
        `^plan file, line ${lineOf('sha256:')}: the plan was made for other weights`,
      ),
    );
  });

  it.each([
    ['version: 2', /expected version 1, found 2$/],
    ['version: "1"', /expected version 1, found "1"$/],
    ['', /^plan file, line \d+: expected version 1, found none$/],
  ])('refuses another version (%s)', (line, message) => {
    expect(() => readPlanFile(edited('version:', line), model)).toThrowError(
      refused('PLAN_FILE_VERSION', message),
    );
  });

  it('names the line of bad YAML', () => {
    const line = lineOf('blk.0.attn_q');
    for (const bad of ['  blk.0.attn_q.weight: [Q4_K', '  blk.0.attn_norm.weight: F32', '\tx: 1', '  : :']) {
      expect(() => readPlanFile(edited('blk.0.attn_q', bad), model), bad).toThrowError(
        refused('PLAN_FILE_SYNTAX', /^plan file, line \d+: /),
      );
    }
    expect(() => readPlanFile(edited('blk.0.attn_q', '  blk.0.attn_norm.weight: F32'), model)).toThrowError(
      refused('PLAN_FILE_SYNTAX', `^plan file, line ${line}: Map keys must be unique$`),
    );
  });

  it.each([
    ['bytes:', '  bytes: many', /budget\.bytes/],
    ['blk.0.attn_q', '  blk.0.attn_q.weight: 4', /tensors\.blk\.0\.attn_q\.weight/],
    ['blk.0.attn_q', '  blk.0.attn_q.weight:', /tensors\.blk\.0\.attn_q\.weight/],
    ['name: small', '  nome: small', /source\.name/],
  ])('names the line of wrong content (%s)', (part, line, message) => {
    expect(() => readPlanFile(edited(part, line), model)).toThrowError(
      refused('PLAN_FILE_CONTENT', message, { message: expect.stringMatching(/^plan file, line \d+: /) }),
    );
  });

  it('refuses what is no plan at all, and aliases', () => {
    expect(() => readPlanFile('', model)).toThrowError(refused('PLAN_FILE_CONTENT', /found none of them/));
    expect(() => readPlanFile('- a\n- b', model)).toThrowError(
      refused('PLAN_FILE_CONTENT', /found none of them/),
    );
    const aliased = edited('name: small', '  name: &a small\n  other: *a');
    expect(() => readPlanFile(aliased, model)).toThrowError(refused('PLAN_FILE_SYNTAX', /aliases/));
  });

  it('meets only typed errors in damaged files', () => {
    fc.assert(
      fc.property(fc.nat(text.length - 1), fc.nat(20), fc.string({ maxLength: 6 }), (at, cut, insert) => {
        const damaged = text.slice(0, at) + insert + text.slice(at + cut);
        try {
          readPlanFile(damaged, model);
        } catch (error) {
          expect(error).toMatchObject({ kind: 'plan' });
        }
      }),
      { numRuns: 500 },
    );
  });
});
