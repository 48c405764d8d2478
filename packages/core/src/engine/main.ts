/** @file The engine process: loads the native libraries, then works through requests until its parent is gone. */
import { BitsmithError, serializeError } from '@bitsmith/formats';
import { runCalibrate } from '../calibrate/task.js';
import { runEncode } from '../encode/task.js';
import { runFinite } from '../encode/finite-task.js';
import { runLearned } from '../encode/learned/learned-task.js';
import { runVerify } from '../encode/verify-task.js';
import { runCoherence } from '../evaluate/coherence-task.js';
import { runInputRanges } from '../evaluate/int8/input-ranges-task.js';
import { runInt8 } from '../evaluate/int8/int8-task.js';
import { runEvaluate } from '../evaluate/task.js';
import { runGradient } from '../measure/gradients/gradient-task.js';
import { runGrams } from '../gram/gram-task.js';
import { runInnerProducts } from '../measure/whole-plans/inner-products-task.js';
import { runPrices } from '../measure/gradients/price-task.js';
import { runCosines } from '../measure/errors/cosines-task.js';
import { runErrors } from '../measure/errors/errors-task.js';
import { runSpikes } from '../measure/super-weights/spikes-task.js';
import { runTopWeights } from '../measure/super-weights/top-weights-task.js';
import { runTernary } from '../measure/ternary/ternary-task.js';
import { runVariants } from '../measure/live/variants-task.js';
import { runRecipes } from '../presets/recipes-task.js';
import { runMemory } from '../model/memory-task.js';
import { runTokenize } from '../text/task.js';
import { runEqualize } from '../transform/equalize/equalize-task.js';
import { runFold } from '../transform/equalize/fold-task.js';
import type { EngineReply, EngineRequest, EngineTasks, TaskKind } from './protocol.js';
import type { EngineSettings, TaskHandler } from './task-type.js';

const handlers: { [Kind in TaskKind]: TaskHandler<EngineTasks[Kind]> } = {
  finite: runFinite,
  ternary: runTernary,
  tokenize: runTokenize,
  memory: runMemory,
  recipes: runRecipes,
  calibrate: runCalibrate,
  errors: runErrors,
  cosines: runCosines,
  gradient: runGradient,
  prices: runPrices,
  grams: runGrams,
  'inner-products': runInnerProducts,
  variants: runVariants,
  spikes: runSpikes,
  'top-weights': runTopWeights,
  equalize: runEqualize,
  fold: runFold,
  encode: runEncode,
  learned: runLearned,
  verify: runVerify,
  evaluate: runEvaluate,
  'input-ranges': runInputRanges,
  int8: runInt8,
  coherence: runCoherence,
};

const settings = JSON.parse(process.argv[2] ?? '{}') as EngineSettings;

function send(reply: EngineReply): void {
  process.send?.(reply);
}

async function serve<Kind extends TaskKind>({ id, kind, parameters }: EngineRequest<Kind>): Promise<void> {
  try {
    const handler = handlers[kind];
    if (handler === undefined)
      throw new BitsmithError('engine', 'ENGINE_TASK_UNKNOWN', `unknown engine task: ${kind}`);
    const result = await handler(parameters, (event) => send({ id, type: 'event', event }), settings);
    send({ id, type: 'result', result });
  } catch (error) {
    if (!(error instanceof BitsmithError)) console.error(error);
    send({ id, type: 'error', error: serializeError(error) });
  }
}

process.on('message', (request) => void serve(request as EngineRequest));
process.on('disconnect', () => process.exit(0));
// Ctrl-C reaches the whole process group; the parent decides when the engine ends.
process.on('SIGINT', () => undefined);
