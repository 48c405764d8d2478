/** @file What a gradual descent reports of its plan: every tensor before and after, and where the bytes went. */
import type { ModelTensor, TensorRole } from '../../model/types.js';
import { storedBytes } from '../../plan/bytes.js';
import { findScheme } from '../../plan/schemes.js';
import type { Choice } from '../../plan/types.js';
import type { Assignment } from '../assignment.js';

export interface QuantizedTensor {
  readonly tensor: string;
  readonly role: TensorRole;
  readonly block: number | null;
  readonly from: string;
  readonly to: string;
  /** Nominal. */
  readonly bits: number;
  readonly bytes: number;
  /** What it is predicted to add to the loss of the whole plan, in nats per token. */
  readonly klNats: number;
}

export interface QuantizationReport {
  readonly tensors: readonly QuantizedTensor[];
  /** Steps of the path that count, and that do not. */
  readonly accepted: number;
  readonly rolledBack: number;
}

export interface MemoryPart {
  readonly name: string;
  readonly tensors: number;
  readonly beforeBytes: number;
  readonly afterBytes: number;
}

/** Bytes of tensors, padding included; a file's header is not among them. */
export interface MemoryAnalysis {
  readonly beforeBytes: number;
  readonly afterBytes: number;
  /** Share of the bytes that went: 0.8 of a ratio of 5. */
  readonly reduction: number;
  readonly byRole: readonly MemoryPart[];
  /** By nominal bits after. */
  readonly byBits: readonly MemoryPart[];
}

export function quantizationReport(
  tensors: readonly ModelTensor[],
  choices: readonly Choice[],
  assignment: Assignment,
  path: readonly { readonly outcome: 'accepted' | 'rolled-back' }[],
): QuantizationReport {
  const accepted = path.filter(({ outcome }) => outcome === 'accepted').length;
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return {
    tensors: choices.flatMap(({ tensor: name, candidates }, index): QuantizedTensor[] => {
      const tensor = byName.get(name);
      if (tensor === undefined) return [];
      const { scheme, bytes, klNats } = candidates[assignment[index]];
      const { role, block, type } = tensor;
      return [{ tensor: name, role, block, from: type, to: scheme, bits: bitsOf(scheme), bytes, klNats }];
    }),
    accepted,
    rolledBack: path.length - accepted,
  };
}

export function memoryAnalysis(
  tensors: readonly ModelTensor[],
  choices: readonly Choice[],
  assignment: Assignment,
): MemoryAnalysis {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const lines = choices.flatMap(({ tensor: name, candidates }, index) => {
    const tensor = byName.get(name);
    if (tensor === undefined) return [];
    const { scheme, bytes: after } = candidates[assignment[index]];
    const before = storedBytes(tensor.type, tensor.shape);
    return [{ role: tensor.role, bits: `${bitsOf(scheme)} bits`, before, after }];
  });
  const beforeBytes = lines.reduce((sum, { before }) => sum + before, 0);
  const afterBytes = lines.reduce((sum, { after }) => sum + after, 0);
  return {
    beforeBytes,
    afterBytes,
    reduction: beforeBytes > 0 ? 1 - afterBytes / beforeBytes : 0,
    byRole: parts(lines, ({ role }) => role),
    byBits: parts(lines, ({ bits }) => bits),
  };
}

function bitsOf(scheme: string): number {
  return findScheme(scheme)?.bits ?? NaN;
}

/** Largest first. */
function parts<Line extends { readonly before: number; readonly after: number }>(
  lines: readonly Line[],
  nameOf: (line: Line) => string,
): MemoryPart[] {
  const found = new Map<string, { tensors: number; beforeBytes: number; afterBytes: number }>();
  for (const line of lines) {
    const name = nameOf(line);
    const part = found.get(name) ?? { tensors: 0, beforeBytes: 0, afterBytes: 0 };
    part.tensors++;
    part.beforeBytes += line.before;
    part.afterBytes += line.after;
    found.set(name, part);
  }
  return [...found]
    .map(([name, part]) => ({ name, ...part }))
    .toSorted((a, b) => b.afterBytes - a.afterBytes || (a.name < b.name ? -1 : 1));
}
