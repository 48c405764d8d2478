/** llama.cpp's engine from Node. Load it in a process of its own: native code can end the process it lives in. */
export { engineEnvironment } from './binding/async.js';
export {
  engineCommit,
  enginePlatform,
  engineRelease,
  type EnginePlatform,
  type GpuBackend,
} from './binding/platform.js';
export { alignedBytes, alignedFloats } from './api/aligned.js';
export type { TokenBatch } from './api/batch.js';
export { needsCodebooks, prepareCodebooks } from './api/codebooks.js';
export { LlamaContext, type ContextOptions } from './api/context.js';
export { Tape, type DifferentiableWeight, type WeightProduct } from './api/autograd.js';
export { computeOnce, ComputeGraph } from './api/graph.js';
export type { GraphNode, RopeSettings, Shape } from './api/graph-shapes.js';
export type { EngineDescription, GpuDevice } from './api/description.js';
export {
  decodeRows,
  encodeRows,
  encodeStoredRows,
  type DecodeRequest,
  type EncodeOptions,
  type EncodeRequest,
  type StoredRequest,
} from './api/encode.js';
export { loadEngine, type Engine, type EngineOptions } from './api/engine.js';
export { checkFinite, findNonFinite } from './api/finite.js';
export { reckonMemory, type MemoryAnswer } from './api/reckon-memory.js';
export { LlamaModel, type OpenModelOptions } from './api/model.js';
export type { NodeObserver, ObservedNode, ObservedTensor } from './api/observe.js';
export { encodedByteLength, requiresImportance } from './api/validate.js';
export type { DetokenizeOptions, TokenizeOptions, Vocabulary } from './api/vocabulary.js';
export { fileRecipe, type FileRecipeOptions } from './api/file-recipe.js';
export { quantizeFile, type FileType, type QuantizeFileOptions } from './api/quantize-file.js';
export { weightedError, weightedRowErrors } from './api/weighted-error.js';
export { WeightSlots } from './api/weights.js';
export { spanAlgebra, type SpanAlgebra, STRIDE } from './kernels/span-algebra.js';
export { levelList } from './kernels/span-levels.js';
