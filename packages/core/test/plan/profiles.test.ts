import { describe, expect, test } from 'vitest';
import { smallLlama, tensorOf } from './models.js';
import { applyFloors, parseFloor } from '../../src/plan/floors.js';
import { dataRange, storageOptions } from '../../src/plan/options.js';
import { policies, policyFloors, type PolicyName } from '../../src/plan/profiles/policies.js';
import { profileOn } from '../../src/plan/profiles/profile-on.js';
import { readProfile, writeProfile } from '../../src/plan/profiles/profile.js';
import { tensorLocks } from '../../src/plan/profiles/tensor-locks.js';
import { expectFailure } from '../support/errors.js';

const tensors = smallLlama(2);
const model = { architecture: 'llama', metadata: new Map(), tensors };

const whole = `about: for phones
policy: balanced
target: edge
budget:
  bpw: 2.75
  minCosine: 0.9
locks:
  - attn_v=Q5_K
floors:
  - attention=3bit
schemes:
  - k-quants
couple:
  - qkv
tensors:
  blk.0.ffn_up.weight: Q4_K
method: gradient
samples: 8
search: none
encoder: feedback+refit
equalize: 0.5
protectSuperWeights: true
coverage: 0.001
protectBits: 16
maxTensorError: 0.1
chunk: 256
`;

describe('a profile', () => {
  test('comes back as it was written', () => {
    const profile = readProfile(whole, 'phone');
    expect(profile).toMatchObject({ policy: 'balanced', budget: { bpw: 2.75, minCosine: 0.9 }, samples: 8 });
    const text = writeProfile(profile);
    expect(readProfile(text, 'phone')).toEqual(profile);
    expect(text.split('\n').slice(3).join('\n')).toBe(whole);
  });

  test('may be JSON', () => {
    expect(readProfile('{"target": "cloud", "budget": {"size": "1GB"}}', 'x')).toEqual({
      target: 'cloud',
      budget: { size: '1GB' },
    });
  });

  test.each([
    ['policy: balanced\nbudgt:\n  bpw: 3', 'PROFILE_KEY_UNKNOWN', /profile x, line 2: unknown key 'budgt'/],
    ['budget:\n  size: 1GB\n  bbw: 3', 'PROFILE_KEY_UNKNOWN', /line 3: unknown key 'budget\.bbw'/],
    ['budget:\n  size: 1GB\n  bpw: -3', 'BUDGET_MALFORMED', /line 3: --bpw -3/],
    ['budget:\n  maxKl: 0', 'QUALITY_MALFORMED', /line 2: --max-kl 0/],
    ['budget:\n  context: 4096', 'BUDGET_MALFORMED', /line 1: /],
    ['policy: balance', 'POLICY_UNKNOWN', /line 1: expected a policy, found "balance"/],
    ['encoder: best', 'PROFILE_CONTENT', /line 1: /],
    ['equalize: 2', 'PROFILE_CONTENT', /line 1: /],
    ['policy: balanced\nprotectBits: 4', 'PROTECTION_MISSING', /line 2: /],
    ['protectSuperWeights: true\nprotectBits: 4', 'PROTECT_BITS_INVALID', /line 1: /],
    ['maxTensorError: -1', 'QUALITY_MALFORMED', /line 1: /],
    ['\ntarget: moon', 'TARGET_UNKNOWN', /line 2: expected a target/],
    ['locks:\n  - attn_v=Q5_K\n  - attn_q=Q9', 'SCHEME_UNKNOWN', /line 3: lock 'attn_q=Q9'/],
    ['locks:\n  - nothing', 'LOCK_MALFORMED', /line 2: /],
    ['floors: [attention]', 'FLOOR_MALFORMED', /line 1: /],
    ['floors:\n  - brain=4bit', 'FLOOR_ROLE_UNKNOWN', /line 2: /],
    ['schemes: [Q4_K, K-qants]', 'SCHEME_UNKNOWN', /line 1: /],
    ['couple: [all]', 'COUPLING_UNKNOWN', /line 1: /],
    ['preset: Q4_K_XL', 'PRESET_UNKNOWN', /line 1: /],
    ['tensors:\n  a: Q4_K\n  b: Q5', 'SCHEME_UNKNOWN', /line 3: b: expected a scheme/],
    ['samples: 0', 'PROFILE_CONTENT', /line 1: samples: /],
    ['method: magic', 'PROFILE_CONTENT', /line 1: method: /],
    ['locks: attn_v=Q5_K', 'PROFILE_CONTENT', /line 1: locks: /],
    ['', 'PROFILE_SYNTAX', /found an empty file/],
    ['- a list', 'PROFILE_SYNTAX', /something else than keys and values/],
    ['policy: [', 'PROFILE_SYNTAX', /line 1: /],
    ['policy: balanced\npolicy: balanced', 'PROFILE_SYNTAX', /line 2: .*unique/],
    ['a: &x [1]\nb: *x', 'PROFILE_SYNTAX', /aliases/],
  ])('is refused for %j', async (text, code, message) => {
    await expectFailure(() => readProfile(text, 'x'), 'profile', code, message);
  });

  test('says what it makes of a model', () => {
    const fit = profileOn(readProfile(whole.replace('attn_v', 'blk.0.attn'), 'x'), model);
    // Four attention matrices of block 0 and one named tensor; 13 more matrices and the embedding are open, norms are kept.
    expect(fit).toMatchObject({ locked: 5, open: 11, kept: 5 });
    expect(fit.data.smallestBytes).toBeLessThan(fit.data.largestBytes);
  });
});

describe('tensors by name', () => {
  test('are locks of those tensors alone, and keep what is never quantized', () => {
    const locks = tensorLocks({ 'blk.0.attn_q.weight': 'Q4_K', 'output_norm.weight': 'keep' }, tensors);
    expect(locks.map(({ text }) => text)).toEqual(['blk.0.attn_q.weight=Q4_K']);
    expect(locks[0].pattern.test('blk.0.attn_q.weight')).toBe(true);
    expect(locks[0].pattern.test('blk.0xattn_q.weight')).toBe(false);
    expect(locks[0].pattern.test('xblk.0.attn_q.weight')).toBe(false);
  });

  test('are refused where they are none, or cannot be', async () => {
    const lock = (lines: Record<string, string>) => () => tensorLocks(lines, tensors);
    await expectFailure(lock({ 'blk.9.attn_q.weight': 'Q4_K' }), 'plan', 'PLAN_TENSOR_UNKNOWN');
    await expectFailure(lock({ 'output_norm.weight': 'Q4_K' }), 'plan', 'PLAN_TENSOR_KEPT');
    await expectFailure(lock({ 'blk.0.attn_q.weight': 'Q4' }), 'plan', 'SCHEME_UNKNOWN');
  });
});

describe('a policy', () => {
  const storage = storageOptions(tensors);

  test.each(Object.keys(policies) as PolicyName[])(
    '%s leaves something to choose for its own budget',
    (name) => {
      const floors = policyFloors(name, storage, []);
      expect(floors.every(({ text }) => text.endsWith(`of policy ${name}`))).toBe(true);
      const { smallestBytes } = dataRange(applyFloors(storage, floors));
      const weights = tensors.reduce((sum, { elements }) => sum + elements, 0);
      expect((smallestBytes * 8) / weights).toBeLessThan(policies[name].bitsPerWeight);
    },
  );

  test('gives way to a floor of the user for the same role', () => {
    const floors = policyFloors('attention-high', storage, [parseFloor('attention-q=2bit')]);
    expect(floors.flatMap(({ roles }) => roles)).toEqual(['attention-k', 'attention-v', 'attention-output']);
  });

  test('asks nothing of roles that the model has not', () => {
    const one = storageOptions([tensorOf('blk.0.ffn_up.weight', 'F16', 256, 256)]);
    expect(policyFloors('quality-max', one, []).map(({ roles }) => roles)).toEqual([['mlp-up']]);
    expect(policyFloors('attention-high', one, [])).toEqual([]);
  });
});
