/** @file What an engine process keeps open between requests: the native libraries and the last models used. */
import { type Engine, loadEngine, LlamaModel } from '@bitsmith/ggml';
import type { EngineSettings } from './task-type.js';

/** A source and its written file are open together while they are compared; more are never needed at once. */
const OPEN_MODELS = 2;

let engine: Engine | undefined;
const models = new Map<string, LlamaModel>();

/** The native libraries, loaded once a process. */
export function nativeEngine(settings: EngineSettings): Engine {
  engine ??= loadEngine({ threads: settings.threads, verbose: settings.verbose });
  return engine;
}

/** Opens a model, memory-mapped, or returns it when it is open already. */
export async function openLlama(path: string, settings: EngineSettings): Promise<LlamaModel> {
  const open = models.get(path);
  if (open !== undefined) {
    models.delete(path);
    models.set(path, open);
    return open;
  }
  for (const [oldest, model] of models) {
    if (models.size < OPEN_MODELS) break;
    models.delete(oldest);
    model.dispose();
  }
  const model = await LlamaModel.open(nativeEngine(settings), path);
  models.set(path, model);
  return model;
}

/** Closes a model, so that its file may be replaced. */
export function closeLlama(path: string): void {
  models.get(path)?.dispose();
  models.delete(path);
}
