/** @file In the engine: text to tokens, by the model's own vocabulary. */
import type { TaskHandler, TaskType } from '../engine/task-type.js';
import { openLlama } from '../engine/session.js';

export type TokenizeTask = TaskType<
  { readonly ggufPath: string; readonly texts: readonly string[] },
  never,
  {
    readonly tokens: readonly Int32Array[];
    /** Token that begins every chunk, where the vocabulary asks for one. */
    readonly bos: number | null;
    readonly vocabulary: number;
    readonly trainedContext: number;
  }
>;

export const runTokenize: TaskHandler<TokenizeTask> = async ({ ggufPath, texts }, _report, settings) => {
  const model = await openLlama(ggufPath, settings, 'cpu');
  const { vocabulary } = model;
  return {
    tokens: texts.map((text) => vocabulary.tokenize(text, { addSpecial: true, parseSpecial: false })),
    bos: vocabulary.addsBos ? vocabulary.bos : null,
    vocabulary: vocabulary.size,
    trainedContext: model.trainedContext,
  };
};
