/**
 * @file What a published package carries that lives elsewhere in the repository: `prepack` copies it in, `postpack` takes
 * it out again. The texts especially must not stay, or the repository's own would no longer be the ones in use.
 *
 *     node ../../scripts/pack-files.mjs add|remove NAME...
 */
import { cpSync, rmSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const origins = {
  LICENSE: 'LICENSE',
  NOTICE: 'NOTICE',
  'README.md': 'README.md',
  text: path.join('models', 'text'),
};

const [action, ...names] = process.argv.slice(2);
if ((action !== 'add' && action !== 'remove') || names.length === 0) {
  throw new Error(`expected add|remove NAME..., found: ${process.argv.slice(2).join(' ')}`);
}
for (const name of names) {
  const origin = origins[name];
  if (origin === undefined)
    throw new Error(`expected one of ${Object.keys(origins).join(', ')}, found ${name}`);
  rmSync(name, { recursive: true, force: true });
  if (action === 'add') cpSync(path.join(root, origin), name, { recursive: true });
}
