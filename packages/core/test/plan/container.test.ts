import { describe, expect, it } from 'vitest';
import { ggufTypes, refuseNotGguf } from '../../src/plan/container.js';
import { ggufSchemes } from '../../src/plan/schemes.js';

const notInGguf = (message: RegExp): object =>
  expect.objectContaining({
    kind: 'unsupported',
    code: 'SCHEME_NOT_IN_GGUF',
    message: expect.stringMatching(message) as string,
  }) as object;

describe('what a GGUF file can hold', () => {
  it('is every scheme of its own, and every stored type', () => {
    expect(ggufTypes([...ggufSchemes.map(({ id }) => id), 'I32'])).toHaveLength(ggufSchemes.length + 1);
    expect(() => refuseNotGguf([{ scheme: 'keep', where: 'a lock' }])).not.toThrow();
  });

  it('is no affine scheme', () => {
    expect(() => ggufTypes(['F32', 'affine4-g64'])).toThrowError(notInGguf(/cannot hold affine4-g64/));
    expect(() => refuseNotGguf([{ scheme: 'INT8', where: "lock 'x=INT8'" }])).toThrowError(
      notInGguf(/^lock 'x=INT8': a GGUF file cannot hold INT8$/),
    );
  });
});
