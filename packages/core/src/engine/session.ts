/** @file What an engine process keeps open between requests: the native libraries and the last models used. */
import { type Engine, loadEngine, LlamaModel } from '@bitsmith/ggml';
import type { EngineSettings } from './task-type.js';

/** A source and its written file are open together while they are compared; more are never needed at once. */
const OPEN_MODELS = 2;

let engine: Engine | undefined;
/** By place and path. */
const models = new Map<string, LlamaModel>();

/** More layers than any model has: the whole model goes to the GPU. */
const ALL_LAYERS = 1 << 16;

/** Where a model computes: on the GPU if the run uses one, or on the CPU whatever the run uses. */
export type Placement = 'preferred' | 'cpu';

/** The native libraries, loaded once a process. */
export function nativeEngine(settings: EngineSettings): Engine {
  engine ??= loadEngine(settings);
  return engine;
}

/** Opens a model, memory-mapped, or returns it when it is open already. */
export async function openLlama(
  path: string,
  settings: EngineSettings,
  placement: Placement = 'preferred',
): Promise<LlamaModel> {
  const gpuLayers = placement === 'preferred' && settings.gpu === true ? ALL_LAYERS : 0;
  const key = keyOf(path, gpuLayers);
  const open = models.get(key);
  if (open !== undefined) {
    models.delete(key);
    models.set(key, open);
    return open;
  }
  for (const [oldest, model] of models) {
    if (models.size < OPEN_MODELS) break;
    models.delete(oldest);
    model.dispose();
  }
  const model = await LlamaModel.open(nativeEngine(settings), path, { gpuLayers });
  models.set(key, model);
  return model;
}

function keyOf(path: string, gpuLayers: number): string {
  return `${gpuLayers}:${path}`;
}
