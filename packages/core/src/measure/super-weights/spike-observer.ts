/**
 * @file The largest activations at the input and output of every block's last feed-forward projection, while a text runs.
 * Single weights there can carry a model ("The Super Weight in Large Language Models"): the spike of the output names the row,
 * the spike of the input the column.
 */
import { BitsmithError } from '@bitsmith/formats';
import type { NodeObserver, ObservedNode, ObservedTensor } from '@bitsmith/ggml';

/** One activation that stands out. */
export interface Spike {
  readonly channel: number;
  readonly value: number;
  /** Root mean square over all channels and tokens seen. */
  readonly rms: number;
  /** Which sequence of the text, and where in it. */
  readonly sequence: number;
  readonly position: number;
}

/** The spikes of one projection. */
export interface ProjectionSpikes {
  readonly tensor: string;
  readonly input: Spike;
  readonly output: Spike;
  /** Input at the output spike's token, in the input spike's channel. */
  readonly inputAtOutput: number;
}

/** A dense feed-forward layer's last projection; a shared expert's is one too. */
export const FFN_DOWN = /^blk\.\d+\.ffn_down(_shexp)?\.weight$/;

interface Peak {
  channel: number;
  value: number;
  sequence: number;
  position: number;
  squares: number;
  count: number;
}

interface Watched {
  readonly input: Peak;
  readonly output: Peak;
  /** All input channels at the output peak's token. */
  inputRow: Float32Array;
  /** Tokens of the running sequence that are past. */
  tokens: number;
}

const noPeak = (): Peak => ({ channel: 0, value: 0, sequence: 0, position: 0, squares: 0, count: 0 });

export class SpikeObserver implements NodeObserver {
  private readonly watched = new Map<string, Watched>();
  private sequence = 0;

  /** The next sequence begins; one runs at a time. */
  startSequence(sequence: number): void {
    this.sequence = sequence;
    for (const each of this.watched.values()) each.tokens = 0;
  }

  wants(node: ObservedNode): boolean {
    return node.op === 'MUL_MAT' && FFN_DOWN.test(node.source(0).name);
  }

  take(node: ObservedNode): void {
    const { name } = node.source(0);
    let state = this.watched.get(name);
    if (state === undefined) {
      state = { input: noPeak(), output: noPeak(), inputRow: new Float32Array(0), tokens: 0 };
      this.watched.set(name, state);
    }
    const input = node.source(1);
    this.scan(name, 'input', input, state.input, state.tokens);
    const peakToken = this.scan(name, 'output', node, state.output, state.tokens);
    if (peakToken !== null) {
      const start = (peakToken * input.strides[1]) / 4;
      state.inputRow = input.floats().slice(start, start + input.shape[0]);
    }
    state.tokens += input.shape[1];
  }

  spikes(): ProjectionSpikes[] {
    return [...this.watched].map(([tensor, { input, output, inputRow }]) => ({
      tensor,
      input: spikeOf(input),
      output: spikeOf(output),
      inputAtOutput: inputRow[input.channel],
    }));
  }

  /**
   * Takes the tensor's columns into the peak.
   * @returns the column of the new peak; null where the old one stands
   * @throws BitsmithError `ACTIVATION_NOT_FINITE`
   */
  private scan(
    name: string,
    side: 'input' | 'output',
    tensor: ObservedTensor,
    peak: Peak,
    firstPosition: number,
  ): number | null {
    const values = tensor.floats();
    const [channels, tokens] = tensor.shape;
    const stride = tensor.strides[1] / 4;
    let peakToken: number | null = null;
    for (let token = 0; token < tokens; token++) {
      const start = token * stride;
      let squares = 0;
      let largest = 0;
      let channel = 0;
      for (let i = 0; i < channels; i++) {
        const value = values[start + i];
        squares += value * value;
        const size = Math.abs(value);
        if (size > largest) {
          largest = size;
          channel = i;
        }
      }
      if (!Number.isFinite(squares)) throw this.notFinite(name, side, firstPosition + token);
      peak.squares += squares;
      peak.count += channels;
      if (largest <= Math.abs(peak.value)) continue;
      peak.value = values[start + channel];
      peak.channel = channel;
      peak.sequence = this.sequence;
      peak.position = firstPosition + token;
      peakToken = token;
    }
    return peakToken;
  }

  private notFinite(name: string, side: 'input' | 'output', position: number): BitsmithError {
    return new BitsmithError(
      'analysis',
      'ACTIVATION_NOT_FINITE',
      `expected finite activations, found NaN or infinity at the ${side} of ${name}, position ${position} of sequence ${this.sequence}`,
      {
        suggestion:
          'The model overflows on this text in its stored precision. Try another text, or a source in F32 or BF16.',
      },
    );
  }
}

function spikeOf({ channel, value, sequence, position, squares, count }: Peak): Spike {
  return { channel, value, sequence, position, rms: Math.sqrt(squares / Math.max(1, count)) };
}
