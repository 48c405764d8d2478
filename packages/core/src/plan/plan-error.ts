import { BitsmithError } from '@bitsmith/formats';
import type { ErrorDetails } from '@bitsmith/formats';

/** A failure in what a user asked a plan to be. */
export function planError(code: string, message: string, details: ErrorDetails = {}): BitsmithError {
  return new BitsmithError('plan', code, message, details);
}
