import { BitsmithError, type ErrorKind } from '@bitsmith/formats';
import { expect } from 'vitest';

/** Runs a step that must fail, and gives its error when it is one of ours. */
export async function failure(step: () => unknown): Promise<BitsmithError> {
  try {
    await step();
  } catch (error) {
    if (!(error instanceof BitsmithError)) throw error;
    return error;
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
