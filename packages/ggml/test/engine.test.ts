import { describe, expect, it } from 'vitest';
import { tensorTypeNames, tensorTypes } from '@bitsmith/formats';
import { selfCheck } from '../src/api/self-check.js';
import { engineCommit, engineEnvironment, engineRelease, loadEngine } from '../src/index.js';
import { ggmlTypes } from '../src/binding/layout.js';

const engine = loadEngine({ threads: 2 });

describe('loadEngine', () => {
  it('describes what was loaded', () => {
    expect(engine.description).toMatchObject({ commit: engineCommit, version: engineRelease });
    expect(engine.description.cpuLevel).not.toBe('');
    expect(engine.description.cpuFeatures).toMatch(/^CPU/);
  });

  it('loads once a process', () => {
    expect(loadEngine({ threads: 1 })).toBe(engine);
    expect(engine.threads).toBe(2);
  });

  it('passes its own checks', async () => {
    const { failures } = await selfCheck(engine);
    expect(failures).toEqual([]);
  });

  it('numbers types as the format does', () => {
    expect(Object.entries(ggmlTypes)).toEqual(tensorTypeNames.map((name) => [name, tensorTypes[name].id]));
  });
});

describe('engineEnvironment', () => {
  it('gives the thread pool room for every lane', () => {
    expect(engineEnvironment(16)).toEqual({ UV_THREADPOOL_SIZE: '18' });
    expect(engineEnvironment(1)).toEqual({ UV_THREADPOOL_SIZE: '4' });
  });
});
