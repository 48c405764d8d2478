import { describe, expect, test } from 'vitest';
import { methodsFor, methodTable, parseMethods } from '../../src/measure/methods/methods.js';
import type { Method } from '../../src/measure/methods/score.js';
import type { ModelTensor, SourceModel } from '../../src/model/types.js';
import { expectFailure, failure } from '../support/errors.js';

describe('the words of --method', () => {
  test('are names, or names with weights', () => {
    expect(parseMethods('rtn')).toEqual([{ method: 'rtn', weight: null }]);
    expect(parseMethods(' RTN , noise ')).toEqual([
      { method: 'rtn', weight: null },
      { method: 'noise', weight: null },
    ]);
    expect(parseMethods('rtn=0.7,noise=3')).toEqual([
      { method: 'rtn', weight: 0.7 },
      { method: 'noise', weight: 3 },
    ]);
  });

  test('of no method name those that there are, and the nearest', async () => {
    const error = await failure(() => parseMethods('rnt'));
    expect(error).toMatchObject({ kind: 'arguments', code: 'METHOD_UNKNOWN' });
    expect(error.message).toBe(
      `expected a method out of ${Object.keys(methodTable).join(', ')}, found 'rnt'`,
    );
    expect(error.suggestion).toBe('Did you mean rtn?');
    await expectFailure(() => parseMethods('rtn,'), 'arguments', 'METHOD_UNKNOWN', /found ''/);
    await expectFailure(() => parseMethods('constructor'), 'arguments', 'METHOD_UNKNOWN');
  });

  test('stand for themselves once', async () => {
    await expectFailure(() => parseMethods('rtn,noise,rtn'), 'arguments', 'METHOD_REPEATED', /rtn twice/);
  });

  test.each(['rtn=0', 'rtn=-1', 'rtn=x', 'rtn=', 'rtn=1=2', 'rtn=1,noise', 'rtn=Infinity'])(
    '%s has no sound weights',
    async (text) => {
      await expectFailure(() => parseMethods(text), 'arguments', 'METHOD_WEIGHTS', /above 0/);
    },
  );
});

describe('a family that a method cannot score', () => {
  const tensor = (name: string, role: ModelTensor['role']): ModelTensor => ({
    name,
    role,
    type: 'F32',
    shape: [256, 256],
    elements: 65_536,
    byteLength: 262_144,
    block: 0,
  });
  const model = (...tensors: ModelTensor[]) =>
    ({ architecture: 'unheard-of', tensors }) as unknown as SourceModel;
  const opaque = model(tensor('blk.0.mystery.weight', 'other'));
  const ordinary = model(tensor('blk.0.ffn_down.weight', 'mlp-down'));

  test('keeps the methods that can', () => {
    expect(methodsFor(opaque, parseMethods('disable,rtn'))).toEqual({
      runnable: [{ method: 'rtn', weight: null }],
      left: ['disable'],
    });
    expect(methodsFor(ordinary, parseMethods('disable,rtn')).left).toEqual([]);
  });

  test('is told which methods can, where none of those that were asked for does', async () => {
    const error = await failure(() => methodsFor(opaque, parseMethods('disable')));
    expect(error).toMatchObject({ kind: 'unsupported', code: 'METHOD_UNSUPPORTED' });
    expect(error.message).toContain('unheard-of');
    for (const method of ['variance', 'activation', 'noise', 'upgrade', 'rtn'] as Method[]) {
      expect(error.suggestion).toContain(method);
    }
    expect(error.suggestion).not.toContain('disable');
    expect(error.suggestion).not.toContain('gradient');
  });
});
