/**
 * @file The one error type of the project. Every failure a user can meet is a `BitsmithError` with a stable `code`,
 * a `kind` that fixes the command's exit code, and a message that says what was expected, what was found and what to do.
 */

/** Exit codes of the command, by kind of failure. */
export const exitCodes = {
  general: 1,
  arguments: 2,
  'model-not-found': 3,
  authentication: 4,
  resources: 5,
  validation: 6,
  checkpoint: 7,
  unsupported: 8,
  cancelled: 9,
  'importance-file': 10,
  quality: 11,
  incoherent: 12,
  plan: 13,
  profile: 13,
  equalization: 14,
  'calibration-text': 15,
  analysis: 16,
  'budget-impossible': 17,
  engine: 18,
} as const;

export type ErrorKind = keyof typeof exitCodes;

export interface ErrorDetails {
  /** What was expected, in words. */
  expected?: string;
  /** What was found instead. */
  found?: string;
  /** What the user can do about it. */
  suggestion?: string;
  cause?: unknown;
}

/** A failure with a stable code. `code` is UPPER_SNAKE_CASE and never changes meaning between releases. */
export class BitsmithError extends Error {
  override readonly name = 'BitsmithError';
  readonly kind: ErrorKind;
  readonly code: string;
  readonly expected: string | undefined;
  readonly found: string | undefined;
  readonly suggestion: string | undefined;

  constructor(kind: ErrorKind, code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.kind = kind;
    this.code = code;
    this.expected = details.expected;
    this.found = details.found;
    this.suggestion = details.suggestion;
  }

  get exitCode(): number {
    return exitCodes[this.kind];
  }
}

/** The same error as plain data, for a process boundary or `--json`. */
export interface SerializedError {
  status: 'error';
  errorCode: number;
  errorType: string;
  kind: ErrorKind;
  message: string;
  expected?: string;
  found?: string;
  suggestion?: string;
}

export function serializeError(error: unknown): SerializedError {
  if (error instanceof BitsmithError) {
    return {
      status: 'error',
      errorCode: error.exitCode,
      errorType: error.code,
      kind: error.kind,
      message: error.message,
      expected: error.expected,
      found: error.found,
      suggestion: error.suggestion,
    };
  }
  return {
    status: 'error',
    errorCode: exitCodes.general,
    errorType: 'UNEXPECTED',
    kind: 'general',
    message: error instanceof Error ? error.message : String(error),
  };
}

export function deserializeError(data: SerializedError): BitsmithError {
  return new BitsmithError(data.kind, data.errorType, data.message, data);
}
