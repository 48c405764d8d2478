/** @file Where the suite keeps what it fetches and makes, under the project's cache. */
import { fileURLToPath } from 'node:url';
import path from 'node:path';

const suite = path.dirname(fileURLToPath(import.meta.url));
const project = path.resolve(suite, '../..');
const cache = process.env.BITSMITH_INTEROP_CACHE ?? path.join(project, '.cache', 'interop');

export const places = {
  project,
  suite,
  cache,
  venv: path.join(cache, 'venv'),
  python: path.join(cache, 'venv', process.platform === 'win32' ? 'Scripts/python.exe' : 'bin/python'),
  /** llama.cpp's source of the engine's release. */
  llamaCpp: path.join(cache, 'llama.cpp'),
  /** Published tokenizers, a folder each. */
  tokenizers: path.join(cache, 'tokenizers'),
  /** Hugging Face folders, one a case. */
  models: path.join(cache, 'models'),
  /** What llama.cpp's converter makes of them. */
  reference: path.join(cache, 'reference'),
  /** Louder copies of some, for gradients, and what PyTorch says of them. */
  gradientModels: path.join(cache, 'gradient-models'),
  gradientAnswers: path.join(cache, 'gradient-answers'),
  /** What transformers makes of the same folders. */
  transformers: path.join(cache, 'transformers.json'),
  bundledModel: path.join(project, 'models', 'orator-8m'),
  text: path.join(project, 'models', 'text', 'calibration.txt'),
};
