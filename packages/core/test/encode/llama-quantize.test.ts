import { readFile } from 'node:fs/promises';
import path from 'node:path';
import {
  type GgufFile,
  importanceWeights,
  MemorySource,
  readAnyImatrix,
  readGguf,
  type TensorType,
} from '@bitsmith/formats';
import { type Engine, loadEngine, quantizeFile, type QuantizeFileOptions } from '@bitsmith/ggml';
import { beforeAll, describe, expect, test } from 'vitest';
import { calibrate } from '../../src/calibrate/calibrate.js';
import { convert } from '../../src/jobs/convert.js';
import { quantize } from '../../src/jobs/quantize.js';
import { openModel } from '../../src/model/open.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { golden, goldenPlan, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = await temporaryFolder();
const imatrix = path.join(golden, 'orator-8m.imatrix.gguf');
const source = path.join(home, 'orator-8m.gguf');

interface Opened {
  readonly header: GgufFile;
  readonly bytes: Uint8Array;
}

async function openFile(file: string): Promise<Opened> {
  const bytes = await readFile(file);
  return { header: await readGguf(new MemorySource(bytes)), bytes };
}

/** What there is to choose: vectors are never quantized. */
function typesOf({ header }: Opened): (readonly [string, TensorType])[] {
  return header.tensors.filter(({ shape }) => shape.length > 1).map(({ name, type }) => [name, type]);
}

/** Names of tensors that are missing in one of the two, or have another type or other bytes. */
function differences(a: Opened, b: Opened): string[] {
  const [mine, others] = [a, b].map(({ header }) => new Map(header.tensors.map((t) => [t.name, t.type])));
  const names = [...new Set([...mine.keys(), ...others.keys()])];
  return names.filter(
    (name) => mine.get(name) !== others.get(name) || Buffer.compare(bytesOf(a, name), bytesOf(b, name)) !== 0,
  );
}

const bytesOf = ({ header, bytes }: Opened, name: string): Uint8Array => {
  const tensor = header.tensors.find((each) => each.name === name);
  if (tensor === undefined) throw new Error(`no tensor ${name}`);
  return bytes.subarray(tensor.offset, tensor.offset + tensor.byteLength);
};

/** Column weights by tensor name; a tensor that the matrix lacks gets equal ones, as the pipeline gives it. */
async function columnWeights(matrix: string): Promise<Map<string, Float32Array>> {
  const { entries } = await readAnyImatrix(new MemorySource(await readFile(matrix)));
  const weights = new Map([...entries].map(([name, entry]) => [name, importanceWeights(entry)]));
  return weights.set('token_embd.weight', new Float32Array(256).fill(1));
}

/** llama.cpp's codes: ours would be others. */
const nearest = { encoder: 'nearest' } as const;

describe('a written file', () => {
  let engine: Engine;

  /** A plan through the whole pipeline. */
  async function write(plan: string, matrix: string): Promise<Opened> {
    const output = path.join(home, `${plan}.gguf`);
    const planFile = await goldenPlan(plan, home);
    await runJob(
      quantize({
        ...nearest,
        model: source,
        planFile,
        importanceMatrix: matrix,
        output,
        home,
        verify: false,
      }),
    );
    return openFile(output);
  }

  /** llama.cpp's own quantizer, told the type of every tensor that it may touch. */
  async function writeByPeer(
    types: readonly (readonly [string, TensorType])[],
    weights: Pick<QuantizeFileOptions, 'importance' | 'importanceMatrixPath'>,
  ): Promise<Opened> {
    const output = path.join(home, 'peer.gguf');
    const tensorTypes = types.map(([name, type]) => ({ pattern: `^${name.replaceAll('.', '\\.')}$`, type }));
    await quantizeFile(engine, { source, output, fileType: 'Q4_K_M', tensorTypes, threads: 2, ...weights });
    return openFile(output);
  }

  beforeAll(async () => {
    await runJob(convert({ model: orator, output: source, home }));
    engine = loadEngine({ threads: 2 });
  }, 300_000);

  test(
    "of many types has the bytes of llama.cpp's own quantizer in every tensor",
    { timeout: 300_000 },
    async () => {
      const ours = await write('mixed-plan.yaml', imatrix);
      const types = typesOf(ours);
      expect(types).toHaveLength(58);
      expect(new Set(types.map(([, type]) => type)).size).toBe(23);
      const theirs = await writeByPeer(types, { importance: await columnWeights(imatrix) });
      // The scales of ternary types are fitted, where llama.cpp takes the largest weight.
      const fitted = types.filter(([, type]) => type === 'TQ1_0' || type === 'TQ2_0').map(([name]) => name);
      expect(fitted.length).toBeGreaterThan(0);
      expect(differences(ours, theirs).toSorted()).toEqual(fitted.toSorted());
    },
  );

  test("of a preset by its name has llama.cpp's types and bytes for it", { timeout: 300_000 }, async () => {
    const importance = await columnWeights(imatrix);
    const preset = 'Q3_K_M';
    const output = path.join(home, 'preset.gguf');
    const peer = path.join(home, 'peer-preset.gguf');
    const common = { ...nearest, model: source, importanceMatrix: imatrix, home, verify: false };
    await runJob(quantize({ ...common, preset, output }));
    await quantizeFile(engine, { source, output: peer, fileType: preset, threads: 2, importance });
    expect(differences(await openFile(output), await openFile(peer))).toEqual([]);
  });

  test(
    'of the matrix that we measure has the bytes of that quantizer with the same matrix',
    { timeout: 300_000 },
    async () => {
      const work = inRun({ home, threads: 1 }, async function* (run) {
        const { calibration } = await loadCorpus();
        const model = yield* openModel(source, { store: run.store });
        const [text] = await tokenizeTexts(run, model, [calibration], 256);
        return yield* calibrate(run, model, firstChunks(text, 1024));
      });
      const matrix = (await runJob(work)).result.path;
      const ours = await write('q4-plan.yaml', matrix);
      const theirs = await writeByPeer(typesOf(ours), { importanceMatrixPath: matrix });
      expect(differences(ours, theirs)).toEqual([]);
    },
  );
});
