/**
 * @file `npm run demo`: the main job on the bundled model, through the very command a user runs. Further arguments are
 * passed on, for example `npm run demo -- --size 3.6MB`.
 */
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const command = path.join(root, 'packages', 'cli', 'dist', 'main.js');
const given = process.argv.slice(2);
const budget = given.some((word) => /^--(size|bpw|ratio|plan)\b/.test(word)) ? [] : ['--bpw', '3.5'];
const words = [
  'quantize',
  path.join('models', 'orator-8m'),
  ...budget,
  '-o',
  'orator-8m-demo.gguf',
  ...given,
];

console.error(`$ bitsmith ${words.join(' ')}\n`);
const { status } = spawnSync(process.execPath, [command, ...words], { cwd: root, stdio: 'inherit' });
if (status === 0) console.error('\nYour own: npx bitsmith quantize PATH --bpw 4 -o my-model.gguf');
process.exit(status ?? 1);
