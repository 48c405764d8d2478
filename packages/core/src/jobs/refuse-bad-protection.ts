/** @file What has no place beside protected super weights, and what protection cannot be. */
import { BitsmithError } from '@bitsmith/formats';
import { refuseBadCoverage } from '../measure/super-weights/super-weights.js';
import { parseProtection } from '../plan/protection.js';
import type { PlanOptions } from './plan-options.js';

/**
 * What is protected is chosen by losses in the live model, weighed against prices.
 * @throws BitsmithError `PROTECTION_MISSING`, `PROTECT_BITS_INVALID`, `COVERAGE_INVALID`, `PROTECTION_WITHOUT_PRICES`
 */
export function refuseBadProtection(options: PlanOptions): void {
  if (parseProtection(options) === null) return;
  refuseBadCoverage(options.coverage);
  const { planFile, preset, method } = options;
  const beside =
    planFile !== undefined ? `--plan ${planFile}` : preset !== undefined ? `--preset ${preset}` : null;
  const found = beside ?? (method === 'rules' ? '--method rules' : null);
  if (found === null) return;
  throw new BitsmithError(
    'arguments',
    'PROTECTION_WITHOUT_PRICES',
    `expected a budget and measured prices beside --protect-super-weights, found ${found}`,
    { suggestion: `Leave out ${found} and give a budget, or lock the tensors with --lock.` },
  );
}
