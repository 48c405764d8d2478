export { type ConvertedModel, convertHuggingFace, writeConvertedModel } from './convert.js';
export type { FolderReader } from './folder.js';
export { type LocalFolder, openLocalFolder } from './local-folder.js';
export { supportedArchitectures } from './registry.js';
export type { OutputType } from './tensors/output-type.js';
