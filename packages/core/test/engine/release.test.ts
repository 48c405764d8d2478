import { describe, expect, test } from 'vitest';
import { engineKey, ENGINE_RELEASE } from '../../src/engine/release.js';
import { describeVersions } from '../../src/run/versions.js';

describe('what computes, in keys and records', () => {
  test('the CPU is the release alone, so that its artifacts stay valid', () => {
    expect(JSON.stringify(engineKey(undefined))).toBe(`{"engine":"${ENGINE_RELEASE}"}`);
    expect(describeVersions().engine).toBe(ENGINE_RELEASE);
  });

  test('a GPU is named', () => {
    expect(engineKey('vulkan')).toEqual({ engine: ENGINE_RELEASE, gpu: 'vulkan' });
    expect(describeVersions('vulkan').engine).toBe(`${ENGINE_RELEASE} vulkan`);
  });
});
