import { BitsmithError, type ErrorDetails } from '../errors.js';

/** An importance file error; the suggestion defaults to making the file again. */
export function imatrixError(code: string, message: string, details: ErrorDetails = {}): BitsmithError {
  return new BitsmithError('importance-file', code, `importance matrix: ${message}`, {
    suggestion: 'Compute the importance matrix again, for this model.',
    ...details,
  });
}

/** Runs a step of reading; its container errors become importance file errors of the same code. */
export async function asImatrixErrors<T>(step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    if (!(error instanceof BitsmithError) || error.kind === 'importance-file') throw error;
    const { expected, found, suggestion } = error;
    throw imatrixError(error.code, error.message, {
      ...(expected === undefined ? {} : { expected }),
      ...(found === undefined ? {} : { found }),
      ...(suggestion === undefined ? {} : { suggestion }),
      cause: error,
    });
  }
}
