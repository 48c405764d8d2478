/**
 * @file The engine's search tables of the i-quants, for what our kernels do not encode. Building them takes seconds and they
 * are global to the process; the engine's own entry builds them under one lock that every encoder takes, so that nothing
 * else encodes meanwhile. Here each family is built once, on its own thread and without that lock: families use separate
 * tables, and no encoder of a family is called before its tables stand.
 */
import type { TensorType } from '@bitsmith/formats';
import { callAsync } from '../binding/async.js';
import { ggmlTypes } from '../binding/layout.js';
import type { Engine } from './engine.js';
import { hasKernel } from './kernel-encoder.js';

type Family = 'IQ2_XXS' | 'IQ2_XS' | 'IQ2_S' | 'IQ1' | 'IQ3_XXS' | 'IQ3_S';

const familyOf: Partial<Record<TensorType, Family>> = {
  IQ2_XXS: 'IQ2_XXS',
  IQ2_XS: 'IQ2_XS',
  IQ2_S: 'IQ2_S',
  IQ1_S: 'IQ1',
  IQ1_M: 'IQ1',
  IQ3_XXS: 'IQ3_XXS',
  IQ3_S: 'IQ3_S',
};

const prepared = new Map<Family, Promise<void>>();

/** True where `prepareCodebooks` has work to do for a type. */
export function needsCodebooks(type: TensorType): boolean {
  return familyOf[type] !== undefined;
}

/**
 * Builds the tables that encoding a type under importance weights needs; returns at once for types without, and for tables
 * that stand. Kernels build their own, in a fraction of a second: the engine's are then left alone.
 */
export async function prepareCodebooks(
  engine: Engine,
  type: TensorType,
  options: { signal?: AbortSignal } = {},
): Promise<void> {
  options.signal?.throwIfAborted();
  if (!needsCodebooks(type)) return;
  if (!(await hasKernel(engine, type))) await prepareEngineCodebooks(engine, type);
  options.signal?.throwIfAborted();
}

/** Builds the tables that the engine's own encoder of a type needs. */
export async function prepareEngineCodebooks(engine: Engine, type: TensorType): Promise<void> {
  const family = familyOf[type];
  if (family === undefined) return;
  let building = prepared.get(family);
  if (building === undefined) {
    building = build(engine, family);
    prepared.set(family, building);
  }
  await building;
}

/** Runs of the engine's own quantizer, which builds tables under its lock whenever it needs them. */
let lockedUsers = 0;

/** Runs work that may build tables under the engine's lock: after all building here, and with none beside it. */
export async function withLockedCodebooks<Result>(work: () => Promise<Result>): Promise<Result> {
  lockedUsers += 1;
  try {
    await Promise.all(prepared.values());
    return await work();
  } finally {
    lockedUsers -= 1;
  }
}

function build({ native }: Engine, family: Family): Promise<void> {
  if (lockedUsers > 0)
    return callAsync(native.ggml_quantize_init, ggmlTypes[family === 'IQ1' ? 'IQ1_S' : family]);
  switch (family) {
    case 'IQ3_XXS':
      return callAsync(native.iq3xs_init_impl, 256);
    case 'IQ3_S':
      return callAsync(native.iq3xs_init_impl, 512);
    case 'IQ1':
      return callAsync(native.iq2xs_init_impl, ggmlTypes.IQ1_S);
    case 'IQ2_XXS':
    case 'IQ2_XS':
    case 'IQ2_S':
      return callAsync(native.iq2xs_init_impl, ggmlTypes[family]);
    default:
      return family satisfies never;
  }
}
