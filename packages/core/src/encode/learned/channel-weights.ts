/**
 * @file What a squared error in each channel of the stream behind a block costs: the mean square of the loss's gradient there. What is added to
 * the stream by a block's last matrix has the stream's own gradient, so that it stands among the squared gradients as that
 * matrix's output energy.
 */
import { BitsmithError } from '@bitsmith/formats';
import { blockTensorName } from '../../transformer/block-weights.js';
import { GradientFiles } from '../../transformer/fisher-file.js';

/** By squared gradients of sequences; their mean is 1. @throws BitsmithError `LEARNED_GRADIENTS` */
export async function channelWeights(paths: readonly string[], block: number): Promise<Float32Array> {
  const files = await GradientFiles.open(paths);
  try {
    const sequences = await files.read(blockTensorName(block, 'ffn_down'));
    const weights = new Float32Array(sequences[0].energy.length);
    for (const { energy } of sequences) energy.forEach((value, channel) => (weights[channel] += value));
    const mean = weights.reduce((sum, value) => sum + value, 0) / weights.length;
    if (!(mean > 0 && mean < Infinity)) throw noGradients(block, mean);
    return weights.map((value) => value / mean);
  } finally {
    await files.close();
  }
}

function noGradients(block: number, mean: number): BitsmithError {
  return new BitsmithError(
    'analysis',
    'LEARNED_GRADIENTS',
    `expected gradients of the stream behind block ${block} that are finite and not all zero, found a mean square of ${mean}`,
    { suggestion: 'Give other text with --text, or learn with all channels alike.' },
  );
}
