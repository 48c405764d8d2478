import { layoutGguf } from '@bitsmith/formats';
import { describe, expect, it } from 'vitest';
import { dataRange, storageOptions } from '../../src/plan/options.js';
import { makePlan } from '../../src/plan/plan.js';
import { quantizable } from '../../src/plan/quantizable.js';
import { tensorTypeFile } from '../../src/plan/tensor-type-file.js';
import type { ModelTensor } from '../../src/model/types.js';
import { choicesOf, smallLlama, tensorOf } from './models.js';

function planFor(tensors: readonly ModelTensor[]) {
  const headerBytes = layoutGguf({ metadata: new Map(), tensors }).header.byteLength;
  const { smallestBytes, largestBytes } = dataRange(storageOptions(tensors));
  const bytes = headerBytes + Math.floor(0.7 * smallestBytes + 0.3 * largestBytes);
  const choices = choicesOf(tensors);
  return makePlan({
    source: { name: 'x', sha256: '00' },
    choices,
    budget: { request: 'x', bytes },
    headerBytes,
  });
}

/** As llama-quantize reads the file and looks a tensor up in it. */
function typeFor(name: string, file: string): string | undefined {
  const overrides = file
    .split(/\s+/)
    .filter((word) => word !== '')
    .map((word): [RegExp, string] => {
      const split = word.indexOf('=');
      return [new RegExp(word.slice(0, split).toLowerCase()), word.slice(split + 1)];
    });
  const bytes = Array.from(new TextEncoder().encode(name), (byte) => String.fromCodePoint(byte)).join('');
  return overrides.find(([pattern]) => pattern.test(bytes))?.[1];
}

describe('tensorTypeFile', () => {
  it('has one line a quantizable tensor, which matches it alone', () => {
    const tensors = smallLlama(12);
    const plan = planFor(tensors);
    const file = tensorTypeFile(plan, tensors);
    expect(file).toMatch(/^\^blk\\\.11\\\.attn_q\\\.weight\$=[A-Z0-9_]+$/m);
    expect(file.split('\n')).toHaveLength(tensors.filter((tensor) => quantizable(tensor).allowed).length + 1);
    for (const tensor of tensors) {
      const scheme = plan.tensors.find((planned) => planned.tensor === tensor.name)?.scheme;
      expect(typeFor(tensor.name, file)).toBe(quantizable(tensor).allowed ? scheme : undefined);
    }
  });

  it('copes with names that the reader would change or split', () => {
    const names = ['Blk.0.Q weight', 'a=b.weight', 'x(1)+[2]{3}|weight', 'größe.weight', 'plain.weight'];
    const tensors = names.map((name) => tensorOf(name, 'BF16', 256, 256));
    const plan = planFor(tensors);
    const file = tensorTypeFile(plan, tensors);
    expect(file.split('\n')).toHaveLength(names.length + 1);
    for (const { tensor, scheme } of plan.tensors) expect(typeFor(tensor, file)).toBe(scheme);
  });

  it('refuses names that it cannot tell apart', () => {
    const tensors = ['A.weight', 'B.weight'].map((name) => tensorOf(name, 'BF16', 256, 256));
    expect(() => tensorTypeFile(planFor(tensors), tensors)).toThrowError(
      expect.objectContaining({ kind: 'plan', code: 'TENSOR_NAME_AMBIGUOUS' }),
    );
  });
});
