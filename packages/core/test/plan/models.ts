/** @file Small models as the planner sees them: tensors without weights. */
import { elementCount, tensorByteLength } from '@bitsmith/formats';
import type { TensorType } from '@bitsmith/formats';
import { blockOf, roleOf } from '../../src/model/roles.js';
import type { ModelTensor } from '../../src/model/types.js';
import { storageOptions } from '../../src/plan/options.js';
import { priceOptions } from '../../src/plan/price.js';
import type { TensorMeasurement } from '../../src/plan/price.js';
import { encodableSchemes } from '../../src/plan/encodable-schemes.js';
import { findScheme } from '../../src/plan/schemes.js';
import type { AppliedLock } from '../../src/plan/locks.js';
import type { Choice } from '../../src/plan/types.js';
import { randomFrom } from '../support/random.js';

export function tensorOf(name: string, type: TensorType, ...shape: number[]): ModelTensor {
  return {
    name,
    type,
    shape,
    elements: elementCount(shape),
    byteLength: tensorByteLength(type, shape),
    role: roleOf(name, 'llama'),
    block: blockOf(name),
  };
}

/** A llama of `blocks` blocks with rows of `width` weights. */
export function smallLlama(blocks = 2, width = 256, type: TensorType = 'BF16'): readonly ModelTensor[] {
  const block = (index: number): ModelTensor[] => [
    tensorOf(`blk.${index}.attn_norm.weight`, 'F32', width),
    tensorOf(`blk.${index}.attn_q.weight`, type, width, width),
    tensorOf(`blk.${index}.attn_k.weight`, type, width, width / 2),
    tensorOf(`blk.${index}.attn_v.weight`, type, width, width / 2),
    tensorOf(`blk.${index}.attn_output.weight`, type, width, width),
    tensorOf(`blk.${index}.ffn_norm.weight`, 'F32', width),
    tensorOf(`blk.${index}.ffn_gate.weight`, type, width, width * 3),
    tensorOf(`blk.${index}.ffn_up.weight`, type, width, width * 3),
    tensorOf(`blk.${index}.ffn_down.weight`, type, width * 3, width),
  ];
  return [
    tensorOf('token_embd.weight', type, width, 1000),
    ...Array.from({ length: blocks }, (_, index) => block(index)).flat(),
    tensorOf('output_norm.weight', 'F32', width),
    tensorOf('output.weight', type, width, 1000),
  ];
}

/** Plausible measurements: errors fall by 4 a bit, sensitivities scatter. */
export function measurementsOf(tensors: readonly ModelTensor[], seed = 1): readonly TensorMeasurement[] {
  const random = randomFrom(seed);
  return tensors.map((tensor) => {
    const scale = tensor.elements * (0.5 + random());
    const errors = new Map(
      encodableSchemes(tensor.shape[0], tensor.type).map((id) => {
        const bits = findScheme(id)?.bitsPerWeight ?? 0;
        return [id, scale * 4 ** -bits * (0.8 + 0.4 * random())];
      }),
    );
    const scheme = errors.has('Q3_K') ? 'Q3_K' : 'Q4_0';
    return { tensor, errors, probe: { scheme, klNats: tensor.elements * 1e-8 * (0.2 + 3 * random()) } };
  });
}

export function choicesOf(
  tensors: readonly ModelTensor[],
  locks: ReadonlyMap<string, AppliedLock> = new Map(),
  seed = 1,
): readonly Choice[] {
  return priceOptions(storageOptions(tensors, locks), measurementsOf(tensors, seed));
}
