/**
 * @file In the engine: a model with scales folded into its weights, as a GGUF of its own. What changes becomes F32, so that the
 * function stays what it was but for the last bits of floats; the rest is copied.
 */
import {
  type ByteSink,
  encodeFloats,
  type GgufMetadata,
  type GgufTensorSpec,
  layoutGguf,
  readGguf,
  writeGguf,
} from '@bitsmith/formats';
import { decodeRows, type Engine } from '@bitsmith/ggml';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { FileSource } from '../../io/file-source.js';
import { writeFresh } from '../../io/file-sink.js';
import { shapeOf } from '../../transformer/shape-of.js';
import { type StoredTensor, WeightFiles } from '../../model/weight-files.js';
import { applyFactors, foldedFactors, type TensorFactors } from './fold.js';
import { modelSites } from './sites.js';

export type FoldTask = TaskType<
  {
    readonly files: readonly string[];
    readonly output: string;
    /** Of every site, in the order of the sites. */
    readonly scales: readonly Float32Array[];
  },
  { readonly done: number; readonly total: number },
  null
>;

/** Weights of a slab. */
const SLAB_WEIGHTS = 1 << 20;

export const runFold: TaskHandler<FoldTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const model = await shapeOf(parameters.files[0], files);
    const rowsOf = (name: string): number => files.tensor(name).rows;
    const factors = foldedFactors(modelSites(files, model), parameters.scales, rowsOf);
    const tensors = files.names.map((name): GgufTensorSpec => {
      const { type, shape } = files.tensor(name);
      return { name, shape, type: factors.has(name) ? 'F32' : type };
    });
    const layout = layoutGguf({ metadata: await metadataOf(parameters.files[0]), tensors });
    await writeFresh(parameters.output, (sink) =>
      writeGguf(sink, layout, async ({ name }, index, out) => {
        await writeTensor(engine, files, files.tensor(name), factors.get(name) ?? null, out);
        report({ done: index + 1, total: tensors.length });
      }),
    );
    return null;
  } finally {
    await files.close();
  }
};

/** The source's own, but for how it was split and aligned. */
async function metadataOf(file: string): Promise<GgufMetadata> {
  const source = await FileSource.open(file);
  try {
    const { metadata } = await readGguf(source);
    return new Map([...metadata].filter(([key]) => !/^(split\.|general\.alignment$)/.test(key)));
  } finally {
    await source.close();
  }
}

async function writeTensor(
  engine: Engine,
  files: WeightFiles,
  tensor: StoredTensor,
  factors: TensorFactors | null,
  out: ByteSink,
): Promise<void> {
  const { rowLength, rowBytes } = tensor;
  const step = Math.max(1, Math.floor(SLAB_WEIGHTS / rowLength));
  for (let first = 0; first < tensor.rows; first += step) {
    const rows = Math.min(step, tensor.rows - first);
    const bytes = new Uint8Array(rows * rowBytes);
    await files.readRows(tensor.name, first, bytes);
    if (factors === null) {
      await out.write(bytes);
      continue;
    }
    const values = new Float32Array(rows * rowLength);
    await decodeRows(engine, { type: tensor.type, bytes, rows, rowLength }, values);
    applyFactors(values, rowLength, factors, first);
    await out.write(encodeFloats('F32', values));
  }
}
