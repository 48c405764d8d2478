import { cp, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { analyze } from '../../src/jobs/analyze.js';
import { quantize } from '../../src/jobs/quantize.js';
import { orator, runJob, snapshot } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const home = path.join(root, 'home');
const bfloat16 = { NaN: 0x7fc0, infinity: 0x7f80 };

/** The bundled model with one weight replaced. */
async function damaged(tensor: string, row: number, column: number, bits: number): Promise<string> {
  const folder = path.join(root, `${tensor}-${row}-${column}`);
  await cp(orator, folder, { recursive: true });
  const file = path.join(folder, 'model.safetensors');
  const bytes = await readFile(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Record<
    string,
    { shape: number[]; data_offsets: number[] }
  >;
  const { shape, data_offsets: offsets } = header[tensor];
  bytes.writeUInt16LE(bits, 8 + headerBytes + offsets[0] + 2 * (row * shape[1] + column));
  await writeFile(file, bytes);
  return folder;
}

describe('a weight that is not finite is named before anything is measured', () => {
  test.each([
    ['model.layers.3.mlp.down_proj.weight', 'blk.3.ffn_down.weight', 3, 5, bfloat16.NaN],
    ['model.embed_tokens.weight', 'token_embd.weight', 7, 255, bfloat16.infinity],
  ] as const)('%s', async (tensor, name, row, column, bits) => {
    const model = await damaged(tensor, row, column, bits);
    const output = path.join(root, 'out.gguf');
    const jobs = [
      () => quantize({ model, bitsPerWeight: 4, output, home, threads: 1 }),
      () => analyze({ model, output, home, threads: 1 }),
    ];
    for (const job of jobs) {
      const stages: string[] = [];
      const run = runJob<unknown>(job(), (event) => event.type === 'stage-start' && stages.push(event.stage));
      await expect(run).rejects.toMatchObject({
        kind: 'validation',
        code: 'WEIGHT_NOT_FINITE',
        message: `expected finite weights, found NaN or infinity in ${name}, row ${row}, column ${column}`,
      });
      expect(stages.filter((stage) => stage !== 'convert')).toEqual([]);
    }
    expect(Object.keys(await snapshot(root))).not.toContain('out.gguf');
  });
});
