import { expect } from 'vitest';
import { BitsmithError, type ErrorKind } from '../../src/index.js';

/** Runs a step that must fail, and gives its error when it is one of ours. */
export async function failure(step: () => unknown): Promise<BitsmithError> {
  try {
    await step();
  } catch (error) {
    expect(error).toBeInstanceOf(BitsmithError);
    return error as BitsmithError;
  }
  throw new Error('expected a failure, but the step succeeded');
}

export async function expectFailure(
  step: () => unknown,
  kind: ErrorKind,
  code: string,
  message?: RegExp,
): Promise<void> {
  const error = await failure(step);
  expect({ kind: error.kind, code: error.code }).toEqual({ kind, code });
  if (message !== undefined) expect(error.message).toMatch(message);
}
