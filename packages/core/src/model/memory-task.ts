/** @file In the engine: what a context of the model would take in memory, reckoned without taking it. */
import type { TensorType } from '@bitsmith/formats';
import { type MemoryAnswer, reckonMemory } from '@bitsmith/ggml';
import { nativeEngine } from '../engine/session.js';
import type { TaskHandler, TaskType } from '../engine/task-type.js';

export type MemoryTask = TaskType<
  { readonly ggufPath: string; readonly contextTokens: number; readonly keyValueType: TensorType },
  never,
  MemoryAnswer
>;

export const runMemory: TaskHandler<MemoryTask> = async (
  { ggufPath, contextTokens, keyValueType },
  _report,
  settings,
) => reckonMemory(nativeEngine(settings), { path: ggufPath, contextTokens, keyValueType });
