/** @file Which tensors make up a block, and room for them: filled with one block after the other. */
import type { Engine } from '@bitsmith/ggml';
import type { WeightFiles } from '../model/weight-files.js';
import { type TransformerShape, unsupported } from './shape.js';
import { assertShape, loadVector, loadWeights, type WeightArray, weightArray } from './weights.js';

/** By name within the block: `attn_q`, `ffn_norm`, `attn_q.bias`. */
export interface BlockWeights {
  readonly matrices: ReadonlyMap<string, WeightArray>;
  readonly vectors: ReadonlyMap<string, Float32Array>;
}

const alwaysThere = ['attn_norm', 'attn_output', 'ffn_norm', 'ffn_up', 'ffn_down'];
const norms: ReadonlySet<string> = new Set([
  'attn_norm',
  'attn_q_norm',
  'attn_k_norm',
  'post_attention_norm',
  'ffn_norm',
  'post_ffw_norm',
]);
const projections: ReadonlySet<string> = new Set([
  'attn_q',
  'attn_k',
  'attn_v',
  'attn_qkv',
  'attn_output',
  'ffn_gate',
  'ffn_up',
  'ffn_down',
]);
const outside: ReadonlySet<string> = new Set([
  'token_embd.weight',
  'output_norm.weight',
  'output.weight',
  'rope_freqs.weight',
  'rope_factors_long.weight',
  'rope_factors_short.weight',
]);

/** The names of a block's matrices and vectors. @throws BitsmithError `GRAPH_UNSUPPORTED` */
function blockTensors(
  files: WeightFiles,
  model: TransformerShape,
  block: number,
): { matrices: string[]; vectors: string[] } {
  const prefix = `blk.${block}.`;
  const matrices: string[] = [];
  const vectors: string[] = [];
  for (const name of files.names) {
    if (!name.startsWith(prefix)) continue;
    const [part, kind] = name.slice(prefix.length).split('.');
    if (kind === 'weight' && projections.has(part)) matrices.push(part);
    else if (kind === 'weight' && norms.has(part)) vectors.push(part);
    else if (kind === 'bias' && projections.has(part)) vectors.push(`${part}.bias`);
    else throw unsupported(`${model.architecture} with ${name}`);
  }
  const there = new Set([...matrices, ...vectors]);
  const missing = alwaysThere.find((name) => !there.has(name));
  if (missing !== undefined) throw unsupported(`${model.architecture} without ${prefix}${missing}.weight`);
  if (!there.has('attn_qkv') && !['attn_q', 'attn_k', 'attn_v'].every((name) => there.has(name)))
    throw unsupported(`${model.architecture} without ${prefix}attn_q.weight and its kin`);
  return { matrices, vectors };
}

/** Full name of a part of a block. */
export function blockTensorName(block: number, part: string): string {
  return part.includes('.') ? `blk.${block}.${part}` : `blk.${block}.${part}.weight`;
}

/** Room for the weights of any block, by the shapes of the first. @throws BitsmithError `GRAPH_UNSUPPORTED` */
export function roomForBlock(
  files: WeightFiles,
  model: TransformerShape,
  { transposed }: { transposed: boolean },
): BlockWeights {
  const foreign = files.names.find((name) => !name.startsWith('blk.') && !outside.has(name));
  if (foreign !== undefined) throw unsupported(`${model.architecture} with ${foreign}`);
  const { matrices, vectors } = blockTensors(files, model, 0);
  return {
    matrices: new Map(
      matrices.map((part) => {
        const { rowLength, rows } = files.tensor(blockTensorName(0, part));
        return [part, weightArray(rowLength, rows, transposed)];
      }),
    ),
    vectors: new Map(
      vectors.map((part) => [part, new Float32Array(files.tensor(blockTensorName(0, part)).rowLength)]),
    ),
  };
}

/** Fills the room with a block's weights. @throws BitsmithError `GRAPH_UNSUPPORTED`, `GRAPH_SHAPE` */
export async function loadBlock(
  engine: Engine,
  files: WeightFiles,
  model: TransformerShape,
  block: number,
  room: BlockWeights,
  lanes: number,
): Promise<void> {
  const { matrices, vectors } = blockTensors(files, model, block);
  if (matrices.length !== room.matrices.size || vectors.length !== room.vectors.size)
    throw unsupported(`${model.architecture} whose block ${block} differs from the first`);
  for (const part of matrices) {
    const array = room.matrices.get(part);
    if (array === undefined) throw unsupported(`${model.architecture} whose block ${block} has ${part}`);
    const tensor = files.tensor(blockTensorName(block, part));
    assertShape(tensor, ...array.shape);
    await loadWeights(engine, files, tensor, array, lanes);
  }
  for (const part of vectors) {
    const target = room.vectors.get(part);
    if (target === undefined) throw unsupported(`${model.architecture} whose block ${block} has ${part}`);
    const name = blockTensorName(block, part);
    assertShape(files.tensor(name), target.length, 1);
    target.set(await loadVector(engine, files, name));
  }
}
