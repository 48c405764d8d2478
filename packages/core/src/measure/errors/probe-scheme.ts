/** @file The scheme at which a tensor's probe is made. */
import type { ModelTensor } from '../../model/types.js';
import { encodableSchemes } from '../../plan/encodable-schemes.js';
import { bitsOf, type SchemeId } from '../../plan/schemes.js';

/** Schemes that make the tensor smaller than it is stored, cheapest first. */
function smallerSchemes(tensor: ModelTensor): readonly SchemeId[] {
  return encodableSchemes(tensor.shape[0], tensor.type);
}

/** Bits where plans are made, and where a single tensor's KL stands far above the noise of its measurement. */
const PROBE_BITS = 3.4;

/**
 * Probe schemes, quick to encode. Of those that are legal and smaller than the source, the nearest to `PROBE_BITS` is
 * taken: the same for every budget, so that one probe serves them all.
 */
const probes: readonly SchemeId[] = ['Q3_K', 'Q4_0', 'Q8_0', 'Q2_K', 'BF16'];

/** The scheme a tensor is probed at. */
export function probeScheme(tensor: ModelTensor): SchemeId {
  const smaller = smallerSchemes(tensor);
  const distance = (scheme: SchemeId): number => Math.abs(bitsOf(scheme) - PROBE_BITS);
  const legal = probes.filter((scheme) => smaller.includes(scheme));
  return [...(legal.length > 0 ? legal : smaller)].sort((a, b) => distance(a) - distance(b))[0];
}
