import { cp, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { writeTinyModel } from '../../../ggml/test/support/tiny-model.js';
import { plan } from '../../src/jobs/plan.js';
import type { PlanOptions } from '../../src/jobs/plan-options.js';
import type { Plan } from '../../src/plan/types.js';
import type { RunEvent } from '../../src/run/events.js';
import { expectFailure } from '../support/errors.js';
import { type Finished, golden, orator, runJob, snapshot } from '../support/jobs.js';
import { childrenOf, groupGone, isAlive, processGone } from '../support/processes.js';
import { writeShortModel } from '../support/short-model.js';
import { type Line, noSignals, startProgram } from '../support/small-run.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const model = path.join(root, 'short-model');
await writeShortModel(model);
/** Several groups of them, so that a kill after the first finds others undone. */
const SAMPLES = 48;

/** All of the model but one block's feed-forward network is locked. */
const small = {
  encoder: 'nearest',
  model,
  size: 6_650_000,
  locks: [String.raw`blk\.1\.|token_embd|attn_=keep`],
  contextTokens: 32,
  floorTokens: 64,
  threads: 1,
  calibrationTokens: 256,
} as const satisfies PlanOptions;

let count = 0;
const emptyHome = (): string => path.join(root, `home-${count++}`);

/** A home where everything is done that comes before gradients. */
async function freshHome(): Promise<string> {
  const home = emptyHome();
  await cp(reference.home, home, {
    recursive: true,
    filter: (file) => !/sequence-gradient|gradient-price/.test(file),
  });
  return home;
}

const planned = (
  options: Partial<PlanOptions> & { home: string },
  onEvent?: (event: RunEvent) => void,
): Promise<Finished<Plan>> =>
  runJob(plan({ ...small, samples: SAMPLES, method: 'gradient', ...options }), onEvent);

/** Hashes of all that was measured: gradients, and prices from them. */
async function measured(home: string): Promise<Record<string, string>> {
  const artifacts = path.join(home, 'artifacts');
  const of = async (kind: string): Promise<[string, string][]> =>
    Object.entries(await snapshot(path.join(artifacts, kind))).map(([file, hash]) => [
      `${kind}/${file}`,
      hash,
    ]);
  return Object.fromEntries([...(await of('sequence-gradient')), ...(await of('gradient-price'))]);
}

/** Gradients done, if that is what an event tells. */
function gradientsDone(event: Line): number | null {
  return event.type === 'progress' && event.item === 'gradients' ? event.done : null;
}

const notesOf = ({ events }: Finished<Plan>, ...levels: readonly string[]): string[] =>
  events.flatMap((event) => (event.type === 'note' && levels.includes(event.level) ? [event.message] : []));

let reference: Finished<Plan> & { readonly home: string };
let measurements: Record<string, string>;
let predictedMegabytes: number;

beforeAll(async () => {
  const home = emptyHome();
  reference = { home, ...(await planned({ home })) };
  measurements = await measured(home);
  const [, megabytes] =
    /gradients take (\d+) MB on 1 threads, activations in memory/.exec(
      notesOf(reference, 'verbose').join(),
    ) ?? [];
  predictedMegabytes = Number(megabytes);
}, 120_000);

test('prices come from gradients: a file a sequence, a price a tensor and scheme', () => {
  const kinds = Object.keys(measurements).map((file) => file.split('/')[0]);
  expect(kinds.filter((kind) => kind === 'sequence-gradient')).toHaveLength(SAMPLES);
  expect(kinds.filter((kind) => kind === 'gradient-price').length).toBeGreaterThan(10);
  expect(predictedMegabytes).toBeGreaterThan(0);
});

test('a second run measures nothing, and more samples only what is new', async () => {
  const home = await freshHome();
  await planned({ home, samples: 5 });
  expect(await readdir(path.join(home, 'artifacts', 'sequence-gradient'))).toHaveLength(5);
  const more = await planned({ home });
  expect(more.events.map(gradientsDone).find((done) => done !== null)).toBe(5);
  expect(more.result.hash).toBe(reference.result.hash);
  expect(await measured(home)).toMatchObject(measurements);
  const again = await planned({ home });
  expect(again.result.hash).toBe(reference.result.hash);
  expect(
    again.events.filter(
      (event) => event.type === 'progress' && event.item === 'gradients' && event.done < SAMPLES,
    ),
  ).toEqual([]);
  expect(again.events).toContainEqual(
    expect.objectContaining({ type: 'stage-end', stage: 'measure', cached: true }),
  );
}, 60_000);

describe.skipIf(noSignals)('killed in the middle of gradients (needs signals)', () => {
  test('the engine: the run goes on with a new one, says so, and finds the same', async () => {
    const home = await freshHome();
    let killed: number | undefined;
    const run = await planned({ home }, (event) => {
      if (killed !== undefined || (gradientsDone(event) ?? 0) < 4) return;
      // The command that lists processes is one of them, and over.
      killed = childrenOf(process.pid).find(isAlive);
      process.kill(killed as number, 'SIGKILL');
    });
    await processGone(killed as number);
    expect(notesOf(run, 'warning')).toEqual([
      expect.stringMatching(/the engine was killed by SIGKILL during the task/),
    ]);
    expect(run.result.hash).toBe(reference.result.hash);
    expect(await measured(home)).toEqual(measurements);
    expect(await readdir(path.join(home, 'work'))).toEqual([]);
  }, 60_000);

  test('the whole run, with activations on disk: the next one continues behind the sequences that were done', async () => {
    const home = await freshHome();
    const program = startProgram(
      {
        ...small,
        samples: SAMPLES,
        method: 'gradient',
        workMemory: `${predictedMegabytes - 1}MB`,
        home,
        output: path.join(root, 'killed.gguf'),
      },
      {
        onLine: (line) => {
          if ((gradientsDone(line) ?? 0) >= 4) process.kill(-(program.child.pid as number), 'SIGKILL');
        },
      },
    );
    expect((await program.ended).at(-1)).not.toMatchObject({ type: 'result' });
    await groupGone(program.child.pid as number);
    const kept = await readdir(path.join(home, 'artifacts', 'sequence-gradient'));
    expect(kept.length).toBeLessThan(SAMPLES);
    const run = await planned({ home });
    expect(run.events.map(gradientsDone).find((done) => done !== null)).toBe(kept.length);
    expect(run.result.hash).toBe(reference.result.hash);
    expect(await measured(home)).toEqual(measurements);
    expect(await readdir(path.join(home, 'work'))).toEqual([]);
  }, 60_000);
});

describe('memory', () => {
  test('that has no room for activations: they go to the disk, and prices stay the same', async () => {
    const home = await freshHome();
    const run = await planned({ home, workMemory: `${predictedMegabytes - 1}MB` });
    expect(notesOf(run, 'verbose')).toContainEqual(expect.stringMatching(/activations on disk/));
    expect(run.result.hash).toBe(reference.result.hash);
    expect(await measured(home)).toEqual(measurements);
    expect(await readdir(path.join(home, 'work'))).toEqual([]);
  }, 60_000);

  test('below a block: refused by what it takes, where gradients were asked for', async () => {
    await expectFailure(
      async () => planned({ home: await freshHome(), workMemory: '2MB' }),
      'resources',
      'MEMORY_LIMIT',
      /expected room for one block of the model and its work, \d+ MB, found a limit of 2 MB/,
    );
  }, 60_000);

  test('below a block: probes stand in, and the run says why, where they were not', async () => {
    const run = await planned({
      home: await freshHome(),
      workMemory: '2MB',
      method: undefined,
      samples: undefined,
      probeTokens: 64,
    });
    expect(notesOf(run, 'info')).toContainEqual(
      expect.stringMatching(/^Probes instead of gradients: expected room for one block/),
    );
    expect(run.result.tensors.length).toBeGreaterThan(0);
  }, 120_000);
});

describe('samples', () => {
  const refused = (samples: number) => async () =>
    planned({ home: await freshHome(), samples, method: undefined });

  test('more than the text has sequences: refused, with how many there are', async () => {
    await expectFailure(
      refused(100_000),
      'calibration-text',
      'SAMPLES_TOO_MANY',
      /expected 1 to \d+ samples \(sequences of 32 tokens .*found 100000/,
    );
  }, 60_000);

  test.each([2.5, 0, Number.NaN])('%d: refused before anything else', async (samples) => {
    await expectFailure(refused(samples), 'arguments', 'SAMPLES_INVALID', /found/);
  });
});

describe('a model without a graph', () => {
  const file = path.join(root, 'experts.gguf');
  const options = {
    model: file,
    size: undefined,
    bitsPerWeight: 6,
    locks: undefined,
    calibrationTokens: 256,
    contextTokens: 16,
    probeTokens: 32,
  };
  beforeAll(() => writeTinyModel(file, { experts: 4 }));

  test('is refused where gradients were asked for', async () => {
    await expectFailure(
      async () => planned({ home: await freshHome(), ...options }),
      'unsupported',
      'GRAPH_UNSUPPORTED',
      /found a mixture of experts \(llama\)/,
    );
  }, 60_000);

  test('is priced by probes where they were not, and the run says why', async () => {
    const run = await planned({ home: await freshHome(), ...options, method: undefined, samples: undefined });
    expect(notesOf(run, 'info')).toContainEqual(
      expect.stringMatching(/^Probes instead of gradients: .*a mixture of experts/),
    );
  }, 120_000);
});

test('a weight that overflows: block, token and sequence are named', async () => {
  const folder = path.join(root, 'large');
  const locks = [String.raw`blk\.[1-7]\.|token_embd|attn_=keep`];
  const importanceMatrix = path.join(golden, 'orator-8m.imatrix.gguf');
  await cp(orator, folder, { recursive: true });
  await setWeight(path.join(folder, 'model.safetensors'), 'model.layers.2.mlp.down_proj.weight', 3, 0x7f7f);
  await expectFailure(
    // Calibration would name the tensor: here it is not run.
    async () =>
      planned({ home: await freshHome(), model: folder, size: 16_100_000, locks, importanceMatrix }),
    'analysis',
    'ACTIVATION_NOT_FINITE',
    /expected finite activations behind block \d, found NaN or infinity at token \d+ \(id \d+\) of sequence \d+/,
  );
}, 60_000);

/** Writes the bits of one bfloat16 weight. */
async function setWeight(file: string, tensor: string, place: number, bits: number): Promise<void> {
  const bytes = await readFile(file);
  const headerBytes = Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.subarray(8, 8 + headerBytes).toString()) as Record<
    string,
    { data_offsets: number[] }
  >;
  bytes.writeUInt16LE(bits, 8 + headerBytes + header[tensor].data_offsets[0] + 2 * place);
  await writeFile(file, bytes);
}
