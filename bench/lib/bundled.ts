/** @file The model that comes with the repository, as the benches use it: opened, or converted to a GGUF. */
import path from 'node:path';
import { finish, inRun, openModel, type SourceModel } from '@bitsmith/core';
import { benchFolder, root } from './file.js';

const bundledModel = path.join(root, 'models', 'orator-8m');

/** Opens the bundled model; its GGUF is kept with the benches' artifacts. */
export async function openBundled(): Promise<SourceModel> {
  const home = await benchFolder('home');
  return finish(inRun({ home }, (run) => openModel(bundledModel, { store: run.store })));
}
