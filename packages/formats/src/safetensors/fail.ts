import { BitsmithError, type ErrorDetails, type ErrorKind } from '../errors.js';

const damaged = 'The file is damaged or was written wrongly: fetch or export it again.';

/** A safetensors error; the suggestion defaults to the one for damaged files. */
export function safetensorsError(
  code: string,
  message: string,
  details: ErrorDetails = {},
  kind: ErrorKind = 'validation',
): BitsmithError {
  return new BitsmithError(kind, code, `safetensors: ${message}`, { suggestion: damaged, ...details });
}
