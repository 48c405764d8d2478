/** @file Matches the folder's tensors with the family's rules: nothing missing, nothing left over, every shape as configured. */
import { BitsmithError, type FloatDtype, type GgufTensorSpec, isFloatDtype } from '@bitsmith/formats';
import { type OutputType, outputTypeOf } from './output-type.js';
import type { TensorChange, TensorRule } from './rules.js';
import type { SourceTensor } from './source-tensors.js';

export interface PlannedTensor {
  readonly spec: GgufTensorSpec & { readonly type: OutputType };
  readonly source: SourceTensor & { readonly dtype: FloatDtype };
  readonly change: TensorChange | undefined;
}

interface Expected {
  readonly target: string;
  readonly shape: readonly number[];
  readonly change: TensorChange | undefined;
  readonly required: boolean;
}

/** @throws BitsmithError `MODEL_TENSOR_MISSING`, `_UNEXPECTED`, `_SHAPE` or `_DTYPE`. */
export function planTensors(
  tensors: readonly SourceTensor[],
  rules: readonly TensorRule[],
  blockCount: number,
  matrices: OutputType,
): PlannedTensor[] {
  // Every block has tensors: a larger count is wrong, and would only cost memory.
  const expected = expectedTensors(rules, Math.min(blockCount, tensors.length + 1));
  const planned = tensors.map((tensor) => {
    const match = expected.get(tensor.name);
    if (match === undefined) throw unexpectedError(tensor, blockCount);
    return planTensor(tensor, match, matrices);
  });
  const names = new Set(tensors.map((tensor) => tensor.name));
  const missing = [...expected]
    .filter(([name, { required }]) => required && !names.has(name))
    .map(([name]) => name);
  if (missing.length > 0) throw missingError(missing);
  return planned;
}

function expectedTensors(rules: readonly TensorRule[], blockCount: number): ReadonlyMap<string, Expected> {
  const expected = new Map<string, Expected>();
  for (const rule of rules) {
    const blocks = rule.source.includes('#') ? blockCount : 1;
    for (let block = 0; block < blocks; block += 1) {
      const source = rule.source.replace('#', String(block));
      const target = rule.target.replace('#', String(block));
      const { change, shape } = rule;
      expected.set(`${source}.weight`, {
        target: `${target}.weight`,
        shape,
        change,
        required: rule.optional !== true,
      });
      expected.set(`${source}.bias`, {
        target: `${target}.bias`,
        shape: shape.slice(0, 1),
        change: change?.kind === 'weave-heads' ? change : undefined,
        required: rule.needsBias === true,
      });
    }
  }
  return expected;
}

function planTensor(source: SourceTensor, expected: Expected, matrices: OutputType): PlannedTensor {
  const { dtype } = source;
  if (!isFloatDtype(dtype)) throw dtypeError(source);
  if (source.shape.join() !== expected.shape.join()) throw shapeError(source, expected.shape);
  const { change } = expected;
  const [outer, ...inner] = source.shape;
  const rows = change?.kind === 'first-rows' ? Math.min(outer, change.rows) : outer;
  const type = outputTypeOf(expected.target, source.shape.length, matrices);
  return {
    spec: { name: expected.target, type, shape: [rows, ...inner].toReversed() },
    source: { ...source, dtype },
    change,
  };
}

function unexpectedError(tensor: SourceTensor, blockCount: number): BitsmithError {
  return new BitsmithError(
    'validation',
    'MODEL_TENSOR_UNEXPECTED',
    `${tensor.file} holds ${tensor.name}, which this architecture does not have`,
    {
      expected: `only the tensors of the architecture, with ${blockCount} blocks`,
      found: tensor.name,
      suggestion:
        'The weights are of another architecture than config.json says, or an adapter was saved among them.',
    },
  );
}

function missingError(missing: readonly string[]): BitsmithError {
  const more = missing.length > 1 ? ` and ${missing.length - 1} more` : '';
  return new BitsmithError('validation', 'MODEL_TENSOR_MISSING', `the weights lack ${missing[0]}${more}`, {
    expected: missing.slice(0, 8).join(', '),
    found: `${missing.length} tensors missing`,
    suggestion:
      'Download all files of the model; check num_hidden_layers and tie_word_embeddings in config.json.',
  });
}

function shapeError(tensor: SourceTensor, expected: readonly number[]): BitsmithError {
  return new BitsmithError(
    'validation',
    'MODEL_TENSOR_SHAPE',
    `${tensor.name} has shape [${tensor.shape.join(', ')}]`,
    {
      expected: `[${expected.join(', ')}], by config.json`,
      found: `[${tensor.shape.join(', ')}]`,
      suggestion: 'The weights and config.json belong to different models: fetch both again.',
    },
  );
}

function dtypeError(tensor: SourceTensor): BitsmithError {
  return new BitsmithError(
    'unsupported',
    'MODEL_TENSOR_DTYPE',
    `${tensor.name} is stored as ${tensor.dtype}`,
    {
      expected: 'floating-point weights (F64, F32, F16, BF16, F8_E4M3, F8_E5M2)',
      found: tensor.dtype,
      suggestion: 'Start from the unquantized weights of the model.',
    },
  );
}
