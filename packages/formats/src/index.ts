export * from './errors.js';
export * from './io/align.js';
export * from './io/byte-sink.js';
export * from './io/byte-source.js';
export * from './gguf/read.js';
export * from './gguf/tensor-types.js';
export type * from './gguf/types.js';
export * from './gguf/write.js';
