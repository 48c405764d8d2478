/**
 * @file The same function in other weights: a llama in GGUF is dequantized, its norm gains are folded into the linears behind
 * them, its residual channels are rotated, and its output head gets weights of its own (tied to the embedding they could not
 * take the gain of the last norm). What a quantizer left in the weights, their grid, is gone then.
 *
 * The residual stream may be made wider on the way: with zeros added before it is rotated. The norm then divides by a root
 * mean square over more channels, which equal gains of sqrt(old / new) and a smaller epsilon make up for.
 */
import {
  elementCount,
  encodeFloats,
  type GgufFile,
  type GgufMetadata,
  ggufFloat32,
  ggufString,
  type GgufTensorInfo,
  type GgufTensorSpec,
  ggufUint32,
  type GgufValue,
  layoutGguf,
  readGguf,
  tensorByteLength,
  writeGguf,
} from '@bitsmith/formats';
import { decodeRows, type Engine } from '@bitsmith/ggml';
import { FileInput, FileOutput } from './file.js';
import { ChannelRotation } from './rotation.js';

export interface RotateOptions {
  readonly type: 'F32' | 'F16';
  /** Null leaves norms and channels as they are: the source, dequantized. */
  readonly rotation: {
    readonly rounds: number;
    readonly seed: number;
    /** Channels of the residual stream afterwards; at least the source's. */
    readonly width: number;
  } | null;
}

/** Writes the model in other weights. */
export async function rewriteModel(
  engine: Engine,
  source: string,
  target: string,
  options: RotateOptions,
): Promise<void> {
  const input = await FileInput.open(source);
  const output = await FileOutput.create(target);
  try {
    const rewriter = new Rewriter(engine, input, await readGguf(input), options);
    const layout = layoutGguf({ metadata: rewriter.metadata(), tensors: rewriter.tensors() });
    await writeGguf(output, layout, async (tensor, _index, sink) => {
      for await (const values of rewriter.pieces(tensor)) {
        await sink.write(encodeFloats(tensor.type as 'F32' | 'F16', values));
      }
    });
  } finally {
    await Promise.all([input.close(), output.close()]);
  }
}

/** Which norm's gain a tensor's inputs carry. */
const gainOf = (name: string): string | null => {
  const block = /^blk\.\d+\./.exec(name)?.[0] ?? '';
  if (/attn_(q|k|v)\.weight$/.test(name)) return `${block}attn_norm.weight`;
  if (/ffn_(gate|up)\.weight$/.test(name)) return `${block}ffn_norm.weight`;
  return name === 'output.weight' ? 'output_norm.weight' : null;
};

const isNorm = (name: string): boolean => name.endsWith('_norm.weight');
const writesResidual = (name: string): boolean => /(attn_output|ffn_down)\.weight$/.test(name);

/** Weights held in double precision at once, about. */
const PIECE_WEIGHTS = 1 << 21;

class Rewriter {
  private readonly engine: Engine;
  private readonly input: FileInput;
  private readonly gguf: GgufFile;
  private readonly options: RotateOptions;
  private readonly stored: ReadonlyMap<string, GgufTensorInfo>;
  private readonly width: number;
  private readonly newWidth: number;
  private readonly rotation: ChannelRotation | null;

  constructor(engine: Engine, input: FileInput, gguf: GgufFile, options: RotateOptions) {
    this.engine = engine;
    this.input = input;
    this.gguf = gguf;
    this.options = options;
    this.stored = new Map(gguf.tensors.map((tensor) => [tensor.name, tensor]));
    refuseOtherTensors(gguf);
    this.width = this.tensor('token_embd.weight').shape[0];
    const { rotation } = options;
    this.newWidth = rotation?.width ?? this.width;
    if (this.newWidth < this.width) throw new Error(`expected a width of at least ${this.width}`);
    this.rotation =
      rotation === null ? null : new ChannelRotation(this.newWidth, rotation.rounds, rotation.seed);
  }

  metadata(): GgufMetadata {
    const metadata = new Map<string, GgufValue>(this.gguf.metadata);
    metadata.delete('general.quantization_version');
    metadata.set('general.file_type', ggufUint32(this.options.type === 'F16' ? 1 : 0));
    if (this.rotation === null) return metadata;
    metadata.set('general.name', ggufString(`${String(metadata.get('general.name')?.value)} rotated`));
    if (this.newWidth === this.width) return metadata;
    const number = (key: string): number => Number(metadata.get(`llama.${key}`)?.value);
    const headWidth = this.width / number('attention.head_count');
    const epsilon = 'attention.layer_norm_rms_epsilon';
    metadata.set(`llama.${epsilon}`, ggufFloat32((number(epsilon) * this.width) / this.newWidth));
    metadata.set('llama.embedding_length', ggufUint32(this.newWidth));
    metadata.set('llama.attention.key_length', ggufUint32(headWidth));
    metadata.set('llama.attention.value_length', ggufUint32(headWidth));
    return metadata;
  }

  tensors(): GgufTensorSpec[] {
    const specs = this.gguf.tensors.map(({ name, shape }) => this.specOf(name, shape));
    // Without a rotation a tied head may stay tied: the gain stays with its norm.
    if (this.rotation === null || this.stored.has('output.weight')) return specs;
    return [...specs, this.specOf('output.weight', this.tensor('token_embd.weight').shape)];
  }

  private specOf(name: string, shape: readonly number[]): GgufTensorSpec {
    const { newWidth } = this;
    if (isNorm(name)) return { name, type: 'F32', shape: [newWidth] };
    const [columns, rows] = shape;
    const { type } = this.options;
    return { name, type, shape: writesResidual(name) ? [columns, newWidth] : [newWidth, rows] };
  }

  /** The new weights of a tensor, row by row. */
  async *pieces({ name, shape }: GgufTensorSpec): AsyncGenerator<Float32Array> {
    if (isNorm(name)) {
      if (this.rotation === null) yield await this.read(name);
      else yield new Float32Array(shape[0]).fill(Math.sqrt(this.width / this.newWidth));
    } else if (writesResidual(name)) {
      const values = new Float64Array(elementCount(shape));
      values.set(await this.read(name));
      this.rotation?.rotateColumns(values);
      yield Float32Array.from(values);
    } else {
      yield* this.readerPieces(name, shape[1]);
    }
  }

  /** Rows that are read from the residual stream, or looked up for it. */
  private async *readerPieces(name: string, rows: number): AsyncGenerator<Float32Array> {
    const { width, newWidth, rotation } = this;
    const from = this.stored.has(name) ? name : 'token_embd.weight';
    const gainName = rotation === null ? null : gainOf(name);
    const gain = gainName === null ? null : await this.read(gainName);
    const rowsAtOnce = Math.max(1, Math.floor(PIECE_WEIGHTS / newWidth));
    for (let first = 0; first < rows; first += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rows - first);
      const old = await this.read(from, first, count);
      const values = new Float64Array(count * newWidth);
      for (let row = 0; row < count; row++) {
        for (let column = 0; column < width; column++) {
          values[row * newWidth + column] = old[row * width + column] * (gain === null ? 1 : gain[column]);
        }
      }
      rotation?.rotateRows(values);
      yield Float32Array.from(values);
    }
  }

  /** Stored weights as they decode: exact in float32, so also in what is computed from them. */
  private async read(name: string, firstRow = 0, count?: number): Promise<Float32Array> {
    const { type, shape, offset } = this.tensor(name);
    const rowLength = shape[0];
    const rows = count ?? elementCount(shape) / rowLength;
    const rowBytes = tensorByteLength(type, [rowLength, 1]);
    const bytes = new Uint8Array(rows * rowBytes);
    await this.input.readInto(bytes, offset + firstRow * rowBytes);
    const values = new Float32Array(rows * rowLength);
    await decodeRows(this.engine, { type, bytes, rows, rowLength }, values);
    return values;
  }

  private tensor(name: string): GgufTensorInfo {
    const tensor = this.stored.get(name);
    if (tensor === undefined) throw new Error(`expected a tensor ${name} in the source`);
    return tensor;
  }
}

/** A tensor that is neither norm, reader nor writer of the residual stream would be changed wrongly. */
function refuseOtherTensors({ tensors, metadata }: GgufFile): void {
  const architecture = metadata.get('general.architecture')?.value;
  const known =
    /^(token_embd|output_norm|output|blk\.\d+\.(attn_norm|attn_q|attn_k|attn_v|attn_output|ffn_norm|ffn_gate|ffn_up|ffn_down))\.weight$/;
  const other = tensors.find(({ name }) => !known.test(name));
  if (architecture !== 'llama' || other !== undefined) {
    throw new Error(
      `expected a plain llama, found ${String(architecture)} with ${other?.name ?? 'its tensors'}`,
    );
  }
}
