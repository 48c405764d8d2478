/**
 * @file A plan for llama.cpp's own quantizer: `llama-quantize --tensor-type-file`. Its reader (`tools/quantize/quantize.cpp`
 * of v0.4.0) splits the file at white space, each word at its first `=`, turns the pattern to lower case, and takes the
 * first pattern that is found in a tensor's name (`std::regex`, ECMAScript). There are no comments. Overrides are only
 * heeded when the file type given on the command line is a quantized one.
 */
import { isTensorType } from '@bitsmith/formats';
import { planError } from './plan-error.js';
import { quantizable } from './quantizable.js';
import type { Plan } from './types.js';
import type { ModelTensor } from '../model/types.js';

/**
 * One line for each tensor that llama.cpp would quantize: `^blk\.0\.attn_q\.weight$=Q4_K`.
 * @throws BitsmithError `TENSOR_NAME_AMBIGUOUS` when two tensors cannot be told apart by such patterns.
 */
export function tensorTypeFile(plan: Plan, tensors: readonly ModelTensor[]): string {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const quantized = plan.tensors.filter(({ tensor: name, scheme }) => {
    const tensor = byName.get(name);
    return tensor !== undefined && isTensorType(scheme) && quantizable(tensor).allowed;
  });
  const names = quantized.map(({ tensor }) => tensor);
  return quantized.map(({ tensor, scheme }) => `${exactPattern(tensor, names)}=${scheme}\n`).join('');
}

/** What a pattern has for a byte that the reader would change or split at: anything but a small letter. */
const OTHER_BYTE = '[^a-z]';

/** A pattern that is found in this name and in no other of `names`. */
function exactPattern(name: string, names: readonly string[]): string {
  const pattern = `^${Array.from(byteString(name), patternOf).join('')}$`;
  if (!pattern.includes(OTHER_BYTE)) return pattern;
  const found = new RegExp(pattern);
  const other = names.find((candidate) => candidate !== name && found.test(byteString(candidate)));
  if (other === undefined) return pattern;
  throw planError('TENSOR_NAME_AMBIGUOUS', `llama.cpp's tensor types cannot tell ${name} from ${other}`, {
    expected: 'names that differ in more than capital letters',
    suggestion: 'Rename one of the tensors in the source.',
  });
}

/** One character a byte, as `std::regex` sees the name. */
function byteString(name: string): string {
  return Array.from(new TextEncoder().encode(name), (byte) => String.fromCodePoint(byte)).join('');
}

function patternOf(byte: string): string {
  if (/[a-z0-9_-]/.test(byte)) return byte;
  return /[.*+?^${}()|[\]\\/]/.test(byte) ? `\\${byte}` : OTHER_BYTE;
}
