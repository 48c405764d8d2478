import type { TensorType } from '@bitsmith/formats';
import { describe, expect, test } from 'vitest';
import { couplingGroups } from '../../src/plan/coupling.js';
import { applyFloors, parseFloor } from '../../src/plan/floors.js';
import { applyLocks, parseLock } from '../../src/plan/locks.js';
import { storageOptions } from '../../src/plan/options.js';
import { planFromPreset } from '../../src/plan/presets/preset-plan.js';
import {
  parsePresetName,
  presetNamed,
  presetNames,
  presetPlans,
  type PresetRecipes,
} from '../../src/plan/presets/presets.js';
import { expectFailure } from '../support/errors.js';
import { smallLlama } from './models.js';

const tensors = smallLlama(2);
const matrices = tensors.filter(({ shape }) => shape.length > 1);

/** Recipes that give every matrix one type, but for some. */
function recipe(type: TensorType, others: Record<string, TensorType> = {}): ReadonlyMap<string, TensorType> {
  return new Map(
    tensors.map(({ name, type: stored, shape }) => [
      name,
      others[name] ?? (shape.length > 1 ? type : stored),
    ]),
  );
}

const recipes: PresetRecipes = new Map([
  ['Q8_0', recipe('Q8_0')],
  ['Q4_K_M', recipe('Q4_K', { 'blk.0.attn_v.weight': 'Q6_K' })],
  ['Q2_K', recipe('Q2_K')],
]);
const storage = storageOptions(tensors);
const header = 1000;

describe('presets as plans', () => {
  test('have exact bytes, smallest first', () => {
    const plans = presetPlans(recipes, storage, header);
    expect(plans.map(({ name }) => name)).toEqual(['Q2_K', 'Q4_K_M', 'Q8_0']);
    const norms = tensors.filter(({ shape }) => shape.length === 1);
    const weights = matrices.reduce((sum, { elements }) => sum + elements, 0);
    const kept = norms.reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(plans[2].bytes).toBe(header + kept + (weights * 34) / 32);
  });

  test('give way to locks, and say so', () => {
    const locked = storageOptions(tensors, applyLocks([parseLock('attn_v=Q5_K')], tensors));
    const preset = presetNamed('Q4_K_M', recipes, { storage: locked, headerBytes: header });
    expect(preset.schemes.get('blk.0.attn_v.weight')).toBe('Q5_K');
    const source = { name: 'small', sha256: 'a'.repeat(64) };
    const plan = planFromPreset({ source, preset, storage: locked, headerBytes: header });
    expect(plan.predicted.bytes).toBe(preset.bytes);
    expect(plan.budget).toEqual({ request: 'preset Q4_K_M', bytes: preset.bytes });
    const reasons = new Map(plan.tensors.map(({ tensor, reason }) => [tensor, reason]));
    expect(reasons.get('blk.0.attn_v.weight')).toBe("locked by 'attn_v=Q5_K'");
    expect(reasons.get('blk.0.attn_q.weight')).toBe('preset Q4_K_M');
    expect(reasons.get('output_norm.weight')).toBe('kept as stored: a vector');
  });

  test('are left out where a floor forbids them, or where they part what is coupled', async () => {
    const floored = applyFloors(storage, [parseFloor('attention=4bit')]);
    expect(presetPlans(recipes, floored, header).map(({ name }) => name)).toEqual(['Q4_K_M', 'Q8_0']);
    const groups = couplingGroups(tensors, ['qkv']);
    expect(presetPlans(recipes, storage, header, groups).map(({ name }) => name)).toEqual(['Q2_K', 'Q8_0']);
    await expectFailure(
      () => presetNamed('Q4_K_M', recipes, { storage, groups, headerBytes: header }),
      'plan',
      'PRESET_EXCLUDED',
    );
  });

  test('leave tensors as they are where they would grow', () => {
    const small = smallLlama(2, 256, 'Q4_0');
    const [first] = presetPlans(new Map([['Q8_0', recipe('Q8_0')]]), storageOptions(small), header);
    expect(new Set(first.schemes.values())).toEqual(new Set(['Q4_0', 'F32']));
  });

  test('go by the names of llama-quantize, in any case of letters', async () => {
    expect(parsePresetName(' q4_k_m')).toBe('Q4_K_M');
    expect(new Set(presetNames).size).toBe(27);
    await expectFailure(() => parsePresetName('Q4_K_XL'), 'plan', 'PRESET_UNKNOWN', /found "Q4_K_XL"/);
  });
});
