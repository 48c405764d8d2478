/**
 * @file Where a transformer's channels can be scaled without changing what it computes: every input of a matrix has a producer that
 * can take the inverse scale exactly. A norm's gains take it for what reads the norm; the value projection for the
 * output projection, through the attention that only mixes positions; the up projection for the down projection, through the product
 * with the gate. Several query heads read one head of values, so their channels share a scale.
 *
 * The output head is left alone: what is common to the errors of all its rows changes no prediction, so that scales chosen by its
 * outputs make predictions worse.
 */
import type { WeightFiles } from '../../model/weight-files.js';
import { blockTensorName } from '../../transformer/block-weights.js';
import type { TransformerShape } from '../../transformer/shape.js';

export type SiteKind = 'attention-input' | 'attention-output' | 'mlp-input' | 'mlp-down';

/** What takes the inverse of the scales: a vector, or rows of a matrix with the bias that is added to them. */
export type Producer =
  | { readonly kind: 'norm'; readonly tensor: string }
  | {
      readonly kind: 'rows';
      readonly tensor: string;
      readonly bias: string | null;
      /** The row of the first channel. */
      readonly firstRow: number;
    };

/** One input that matrices share. */
export interface Site {
  readonly kind: SiteKind;
  readonly block: number;
  /** The matrices that read it, by tensor name. */
  readonly readers: readonly string[];
  readonly producer: Producer;
  /** Channels that can be scaled apart. */
  readonly channels: number;
  /** By column of the readers. */
  readonly channelOf: Int32Array;
}

/** A block's sites. Those that change rows come first: others read these rows' sizes. */
export function blockSites(files: WeightFiles, model: TransformerShape, block: number): Site[] {
  const name = (part: string): string => blockTensorName(block, part);
  const present = (parts: readonly string[]): string[] =>
    parts.map(name).filter((tensor) => files.has(tensor));
  const normSite = (kind: SiteKind, norm: string, parts: readonly string[]): Site => ({
    kind,
    block,
    readers: present(parts),
    producer: { kind: 'norm', tensor: name(norm) },
    ...plainChannels(model.width),
  });
  return [
    attentionOutput(files, model, block),
    mlpDown(files, block),
    normSite('attention-input', 'attn_norm', ['attn_qkv', 'attn_q', 'attn_k', 'attn_v']),
    normSite('mlp-input', 'ffn_norm', ['ffn_gate', 'ffn_up']),
  ];
}

/** All sites of a model, block by block. */
export function modelSites(files: WeightFiles, model: TransformerShape): Site[] {
  return model.blocks.flatMap((_, block) => blockSites(files, model, block));
}

function attentionOutput(files: WeightFiles, model: TransformerShape, block: number): Site {
  const { heads, keyValueHeads, headSize } = model;
  const fused = files.has(blockTensorName(block, 'attn_qkv'));
  const sharing = heads / keyValueHeads;
  const channelOf = Int32Array.from({ length: heads * headSize }, (_, column) => {
    const head = Math.floor(column / headSize);
    return Math.floor(head / sharing) * headSize + (column % headSize);
  });
  return {
    kind: 'attention-output',
    block,
    readers: [blockTensorName(block, 'attn_output')],
    producer: rowsOf(
      files,
      block,
      fused ? 'attn_qkv' : 'attn_v',
      fused ? (heads + keyValueHeads) * headSize : 0,
    ),
    channels: keyValueHeads * headSize,
    channelOf,
  };
}

function mlpDown(files: WeightFiles, block: number): Site {
  const { rows } = files.tensor(blockTensorName(block, 'ffn_up'));
  const fused = !files.has(blockTensorName(block, 'ffn_gate'));
  // One matrix for both holds the gate first.
  const channels = fused ? rows / 2 : rows;
  return {
    kind: 'mlp-down',
    block,
    readers: [blockTensorName(block, 'ffn_down')],
    producer: rowsOf(files, block, 'ffn_up', fused ? channels : 0),
    ...plainChannels(channels),
  };
}

function rowsOf(files: WeightFiles, block: number, part: string, firstRow: number): Producer {
  const bias = blockTensorName(block, `${part}.bias`);
  return {
    kind: 'rows',
    tensor: blockTensorName(block, part),
    bias: files.has(bias) ? bias : null,
    firstRow,
  };
}

function plainChannels(channels: number): Pick<Site, 'channels' | 'channelOf'> {
  return { channels, channelOf: Int32Array.from({ length: channels }, (_, column) => column) };
}
