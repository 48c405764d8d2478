/** @file In the engine: inner products of sequences' gradients with the changes that schemes make, all tensors at once. */
import { decodeRows, type Engine } from '@bitsmith/ggml';
import { columnWeights, vectorOfRow } from '../../calibrate/column-weights.js';
import { throughScheme } from '../../encode/through-scheme.js';
import type { TaskHandler, TaskType } from '../../engine/task-type.js';
import { nativeEngine } from '../../engine/session.js';
import { readImportance } from '../../io/read-importance.js';
import { WeightFiles } from '../../model/weight-files.js';
import type { StorageType } from '../../plan/schemes.js';
import { inLanes } from '../../run/lanes.js';
import { shapeOf } from '../../transformer/shape-of.js';
import type { WeightChanges } from '../../transformer/inner-products.js';
import { SequencePass } from '../../transformer/sequence-gradients.js';

export type InnerProductsTask = TaskType<
  {
    readonly files: readonly string[];
    readonly importancePath: string;
    readonly positions: number;
    readonly firstScored: number;
    readonly seed: number;
    readonly sequences: readonly { readonly index: number; readonly tokens: Int32Array }[];
    /** Scheme by tensor; a tensor that is not named does not change. */
    readonly schemes: Readonly<Record<string, StorageType>>;
  },
  { readonly index: number; readonly products: Readonly<Record<string, number>> },
  null
>;

/** Sequences that share one walk through the blocks: every walk encodes the whole model. */
const GROUP_SEQUENCES = 32;
/** Weights encoded at once. */
const SLAB_WEIGHTS = 1 << 18;

export const runInnerProducts: TaskHandler<InnerProductsTask> = async (parameters, report, settings) => {
  const engine = nativeEngine(settings);
  const files = await WeightFiles.open(parameters.files);
  try {
    const { positions, firstScored, seed, sequences } = parameters;
    const pass = await SequencePass.open({
      engine,
      files,
      model: await shapeOf(parameters.files[0], files),
      positions,
      lanes: settings.threads,
      seed,
      firstScored,
      scratchPath: null,
      changes: await schemeChanges(engine, files, parameters, settings.threads),
    });
    try {
      for (let first = 0; first < sequences.length; first += GROUP_SEQUENCES) {
        const group = sequences.slice(first, first + GROUP_SEQUENCES);
        const found = await pass.run(group);
        for (const [at, { index }] of group.entries())
          report({ index, products: Object.fromEntries(found[at].inner) });
      }
    } finally {
      pass.dispose();
    }
    return null;
  } finally {
    await files.close();
  }
};

/** What storing each tensor in its scheme changes: decoded less original. */
async function schemeChanges(
  engine: Engine,
  files: WeightFiles,
  { importancePath, schemes }: InnerProductsTask['parameters'],
  lanes: number,
): Promise<WeightChanges> {
  const importance = await readImportance(importancePath);
  return {
    async rows(name, firstRow, into) {
      const scheme = schemes[name];
      if (scheme === undefined) {
        into.fill(0);
        return;
      }
      const tensor = files.tensor(name);
      const { rowLength, rowBytes, type } = tensor;
      const vector = vectorOfRow(columnWeights(importance, tensor), tensor, 0);
      const slab = Math.max(1, Math.floor(SLAB_WEIGHTS / rowLength));
      const count = into.length / rowLength;
      const starts = Array.from({ length: Math.ceil(count / slab) }, (_, index) => index * slab);
      await inLanes(lanes, starts, async (start) => {
        const rows = Math.min(slab, count - start);
        const source = new Uint8Array(rows * rowBytes);
        await files.readRows(name, firstRow + start, source);
        const values = new Float32Array(rows * rowLength);
        await decodeRows(engine, { type, bytes: source, rows, rowLength }, values);
        const target = into.subarray(start * rowLength, (start + rows) * rowLength);
        await throughScheme(engine, { scheme, values, rows, rowLength, importance: vector }, target);
        for (let i = 0; i < target.length; i++) target[i] -= values[i];
      });
    },
  };
}
