import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { parquetReadObjects } from 'hyparquet';
import { beforeAll, describe, expect, test } from 'vitest';
import { writeTinyModel } from '../../../ggml/test/support/tiny-model.js';
import { analyze, type AnalyzeOptions, type AnalyzeResult } from '../../src/jobs/analyze.js';
import type { RunEvent } from '../../src/run/events.js';
import { type Damageable, damageable } from '../support/damage.js';
import { expectFailure, failure } from '../support/errors.js';
import { runJob } from '../support/jobs.js';
import { childrenOf, groupGone, processGone } from '../support/processes.js';
import { randomFrom } from '../support/random.js';
import { writeShortModel } from '../support/short-model.js';
import { noSignals, startEntry } from '../support/small-run.js';
import { temporaryFolder } from '../support/temporary.js';

const root = await temporaryFolder();
const short = path.join(root, 'short-model');
await writeShortModel(short);

/** Every method that works without gradients, on little text. */
const small = {
  model: short,
  contextTokens: 32,
  calibrationTokens: 256,
  samples: 4,
  schemes: ['Q4_0', 'Q8_0'],
  method: 'variance,activation,noise,upgrade,disable,rtn',
  threads: 1,
} as const satisfies AnalyzeOptions;

let count = 0;
const freshHome = (): string => path.join(root, `home-${count++}`);

async function analysed(options: Partial<AnalyzeOptions> = {}) {
  return runJob(analyze({ ...small, home: freshHome(), ...options }));
}

describe('an analysis', () => {
  const home = freshHome();
  const scores = path.join(root, 'scores.parquet');
  const output = path.join(root, 'matrix.gguf');
  let first: AnalyzeResult;

  beforeAll(async () => {
    first = (await analysed({ home, scores, output })).result;
  }, 300_000);

  test('ranks all tensors by what the methods say together', () => {
    expect(first.methods.map(({ method }) => method)).toEqual(small.method.split(','));
    expect(first.methodsLeftOut).toEqual([]);
    expect(first.tensors).toHaveLength(16);
    const shares = first.tensors.map(({ share }) => share);
    expect(shares).toEqual(shares.toSorted((a, b) => b - a));
    expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 9);
    for (const { tensor, loss, prices, scores: said } of first.tensors) {
      expect(loss?.klNats).toBeGreaterThanOrEqual(0);
      expect(Object.keys(prices)).toEqual(['Q4_0', 'Q8_0', 'BF16']);
      expect(prices['Q4_0']).toBeGreaterThan(prices['Q8_0']);
      expect(prices['BF16']).toBe(0);
      // Only a block has a loss without it.
      expect(said).toHaveLength(tensor.startsWith('blk.') ? 6 : 5);
    }
    expect(first.text).toMatchObject({ samples: 4, tokens: 128 });
  });

  test('writes every score, with its text and seed', async () => {
    const bytes = await readFile(scores);
    const file = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength);
    const rows = await parquetReadObjects({ file });
    expect(first.scoresPath).toBe(scores);
    expect(rows).toHaveLength(first.methods.reduce((sum, method) => sum + method.scores, 0));
    const of = (method: string) => rows.filter((row) => row['method'] === method);
    expect(of('rtn')).toHaveLength(2 * 16);
    expect(of('upgrade')).toHaveLength(16);
    expect(of('disable')).toHaveLength(14);
    expect(new Set(of('noise').map((row) => row['seed']))).toEqual(new Set([1n]));
    expect(new Set(of('rtn').map((row) => row['seed']))).toEqual(new Set([null]));
    expect(new Set(of('variance').map((row) => row['text_hash']))).toEqual(new Set([null]));
    expect(new Set(of('activation').map((row) => row['text_hash']))).toEqual(
      new Set([first.calibration.sha256]),
    );
    const texts = new Set(
      ['rtn', 'noise', 'upgrade', 'disable'].flatMap((name) => of(name).map((row) => row['text_hash'])),
    );
    expect(texts.size).toBe(1);
    expect([...texts][0]).toMatch(/^[0-9a-f]{64}$/);
    expect((await readFile(output)).subarray(0, 4).toString()).toBe('GGUF');
  });

  test('made again takes everything from the store, another selection only what is new', async () => {
    const again = await analysed({ home, resume: true });
    const stages = again.events.filter((event) => event.type === 'stage-end');
    expect(stages.filter(({ cached }) => !cached)).toEqual([]);
    expect(again.result).toEqual({
      ...first,
      scoresPath: null,
      importanceMatrixPath: again.result.importanceMatrixPath,
    });
    const other = await analysed({ home, method: 'rtn', schemes: ['Q8_0', 'Q5_0'] });
    const done = other.events.flatMap((event) =>
      event.type === 'progress' && event.item === 'rtn' ? [event] : [],
    );
    // Q8_0 is there for every tensor.
    expect(done[0]).toMatchObject({ done: 16, total: 32 });
  });

  test('with one method has its losses and their errors', async () => {
    const { result } = await analysed({ home, method: 'rtn' });
    expect(result.medianRelativeError).toBeGreaterThan(0);
    const [top] = result.tensors;
    expect(top.loss).toMatchObject({ scheme: 'Q4_0', klNats: top.scores[0].value });
    expect(top.loss?.standardError).toBe(top.scores[0].standardError);
    expect(top.prices['Q8_0']).toBeLessThan(top.prices['Q4_0']);
  });

  test('with methods that know no nats has shares, but no losses', async () => {
    const { result } = await analysed({ home, method: 'variance,activation' });
    expect(
      result.tensors.every(({ loss, prices }) => loss === null && Object.keys(prices).length === 0),
    ).toBe(true);
    expect(result.gains).toEqual([]);
    expect(result.medianRelativeError).toBeNull();
    expect(result.tensors[0].share).toBeGreaterThan(0);
  });

  test('says what mixed precision can gain over one scheme', async () => {
    const schemes = ['Q2_K', 'Q3_K', 'Q4_K'];
    const { result } = await analysed({ home, method: 'gradient', schemes, plans: 0 });
    expect(result.gains.map(({ uniformScheme }) => uniformScheme)).toEqual(schemes);
    for (const { uniformScheme, uniformKlNats, mixedKlNats, ratio } of result.gains) {
      const sum = result.tensors.reduce((total, { prices }) => total + prices[uniformScheme], 0);
      expect(uniformKlNats).toBeCloseTo(sum, 12);
      expect(mixedKlNats).toBeLessThanOrEqual(uniformKlNats);
      expect(ratio).toBe(mixedKlNats / uniformKlNats);
    }
    // Above the smallest scheme there is something to choose.
    expect(result.gains[1].ratio).toBeLessThan(0.98);
  });
});

describe('what makes no sense is refused before anything is measured', () => {
  const home = freshHome();
  const refused = async (options: Partial<AnalyzeOptions>) => {
    const begun: string[] = [];
    const note = (event: RunEvent): void => {
      if (event.type === 'stage-start' && event.stage !== 'convert') begun.push(event.stage);
    };
    const error = await failure(() => runJob(analyze({ ...small, home, ...options }), note));
    expect(begun).toEqual([]);
    return error;
  };

  test.each([
    [{ method: 'rnt' }, 'arguments', 'METHOD_UNKNOWN', /found 'rnt'$/],
    [{ method: 'rtn,rtn' }, 'arguments', 'METHOD_REPEATED', /rtn twice/],
    [{ method: 'rtn=0' }, 'arguments', 'METHOD_WEIGHTS', /above 0/],
    [{ schemes: ['Q9_X'] }, 'plan', 'SCHEME_UNKNOWN', /--schemes: .* found "Q9_X"/],
    [{ schemes: ['F32'] }, 'plan', 'SCHEMES_NONE_LEGAL', /found F32/],
    [{ coverage: 0 }, 'arguments', 'COVERAGE_INVALID', /found 0$/],
    [{ samples: 100_000 }, 'calibration-text', 'SAMPLES_TOO_MANY', /found 100000$/],
    [{ samples: 0 }, 'calibration-text', 'SAMPLES_TOO_MANY', /found 0$/],
    [{ resume: true }, 'checkpoint', 'RESUME_NOTHING', /found none/],
    [{ scores: path.join(root, 'absent', 'scores.parquet') }, 'arguments', 'FOLDER_NOT_FOUND', /absent/],
    [{ scores: root }, 'arguments', 'FILE_IS_FOLDER', /folder/],
  ] as const)('%j', async (options, kind, code, message) => {
    const error = await refused(options);
    expect({ kind: error.kind, code: error.code }).toEqual({ kind, code });
    expect(error.message).toMatch(message);
  });

  test('a text of fewer sequences than samples', async () => {
    const text = path.join(root, 'short.txt');
    await writeFile(text, 'A plain sentence that is said again and again.\n\n'.repeat(60));
    const error = await refused({ text, samples: 50 });
    expect(error).toMatchObject({ kind: 'calibration-text', code: 'SAMPLES_TOO_MANY' });
    expect(error.message).toMatch(
      /expected 1 to \d+ samples \(sequences of 32 tokens in short\.txt .*\), found 50$/,
    );
  });
});

describe('a model that overflows', () => {
  let sound: Damageable;
  beforeAll(async () => {
    sound = await damageable(root, freshHome());
  }, 120_000);

  test('is named by tensor when its activations do', { timeout: 120_000 }, async () => {
    const model = await sound.damaged('activations.gguf', (bytes) => {
      for (let i = 0; i < 256; i++) {
        for (const part of ['ffn_gate', 'ffn_up']) {
          bytes.writeUInt16LE(0x60ad, sound.placeOf(`blk.2.${part}.weight`, 9, i));
        }
      }
    });
    await expectFailure(
      () => analysed({ model }),
      'analysis',
      'ACTIVATION_NOT_FINITE',
      /at the input of blk\.2\.ffn_down\.weight/,
    );
  });
});

describe('a model without a graph', () => {
  const model = path.join(root, 'experts.gguf');
  const home = freshHome();
  beforeAll(() => writeTinyModel(model, { experts: 4 }));

  const notesOf = (events: readonly RunEvent[]): string[] =>
    events.flatMap((event) => (event.type === 'note' && event.level === 'warning' ? [event.message] : []));

  test('is scored by the methods that need none, each tensor of experts as a whole', async () => {
    const { result, events } = await analysed({ model, home });
    expect(notesOf(events)).toEqual([]);
    expect(result.methods.map(({ method }) => method)).toEqual(small.method.split(','));
    const down = result.tensors.find(({ tensor }) => tensor === 'blk.1.ffn_down_exps.weight');
    expect(down?.scores).toHaveLength(6);
    for (const { value } of down?.scores ?? []) expect(value).toBeGreaterThan(0);
    expect(result.superWeights.candidates).toEqual([]);
    expect(result.superWeights.missing).toBe(
      'llama has no separate feed-forward projection (ffn_down) whose spikes could be seen',
    );
    const [first] = result.superWeights.important;
    expect(first.importance).toBeGreaterThan(0);
    expect(result.superWeights.counts[first.tensor]).toBeGreaterThan(0);
  }, 120_000);

  test('leaves out what needs one, and says what can', async () => {
    const { result, events } = await analysed({ model, home, method: 'gradient,rtn' });
    expect(result.methods).toEqual([{ method: 'rtn', weight: 1, scores: expect.any(Number) }]);
    expect(result.methodsLeftOut).toEqual(['gradient']);
    expect(notesOf(events)).toEqual([
      expect.stringMatching(
        /^gradient cannot score this model: .*a mixture of experts.* These can: variance, activation, disable, noise, upgrade, rtn\.$/,
      ),
    ]);
  }, 120_000);

  test('is told which methods can score it, where none of those that were asked for can', async () => {
    const error = await failure(() => analysed({ model, home, method: 'gradient' }));
    expect(error).toMatchObject({ kind: 'unsupported', code: 'METHOD_UNSUPPORTED' });
    expect(error.message).toMatch(/family llama, found gradient$/);
    expect(error.suggestion).toMatch(/these can: variance, activation, disable, noise, upgrade, rtn\.$/);
  }, 120_000);

  test('is scored by rtn where no method was asked for', async () => {
    const { result, events } = await analysed({ model, home, method: undefined });
    expect(result.methods.map(({ method }) => method)).toEqual(['rtn']);
    expect(result.methodsLeftOut).toEqual([]);
    expect(notesOf(events)).toHaveLength(1);
  }, 120_000);
});

/** What the program says. */
type Line =
  | RunEvent
  | { readonly type: 'result'; readonly analysis: Pick<AnalyzeResult, 'tensors' | 'gains' | 'superWeights'> }
  | { readonly type: 'error'; readonly code: string | null; readonly message: string };

describe.skipIf(noSignals)('an analysis that is killed (needs signals)', () => {
  const start = (home: string, onLine?: (line: Line) => void) =>
    startEntry<Line>('analyze', { ...small, home, method: 'variance,noise,upgrade', plans: 0 }, { onLine });
  let undisturbed: readonly Line[];
  let measurements: number;

  beforeAll(async () => {
    undisturbed = await start(freshHome()).ended;
    expect(undisturbed.at(-1)?.type).toBe('result');
    measurements = undisturbed.filter((line) => line.type === 'progress' && line.stage === 'measure').length;
  }, 300_000);

  test('at random moments ends with the same scores', { timeout: 600_000 }, async () => {
    const random = randomFrom(11);
    const home = freshHome();
    let kills = 0;
    for (let round = 0; round < 4; round++) {
      const moment = Math.floor(random() * measurements * 0.5);
      let seen = 0;
      const program = start(home, (line) => {
        if (line.type !== 'progress' || line.stage !== 'measure' || seen++ !== moment) return;
        kills++;
        process.kill(-(program.child.pid as number), 'SIGKILL');
      });
      await program.ended;
      await groupGone(program.child.pid as number);
    }
    expect(kills).toBeGreaterThanOrEqual(2);
    const lines = await start(home).ended;
    expect(lines.at(-1)).toEqual(undisturbed.at(-1));
    // What was measured before is not measured again.
    const rest = lines.filter((line) => line.type === 'progress' && line.stage === 'measure').length;
    expect(rest).toBeLessThan(measurements);
    expect(await readdir(path.join(home, 'work'))).toEqual([]);
  });

  test('goes on in a new engine when only that is killed', { timeout: 300_000 }, async () => {
    let killed: number | undefined;
    let seen = 0;
    const program = start(freshHome(), (line) => {
      if (line.type !== 'progress' || line.item !== 'upgrade' || seen++ !== 5) return;
      [killed] = childrenOf(program.child.pid as number);
      process.kill(killed as number, 'SIGKILL');
    });
    const lines = await program.ended;
    await processGone(killed as number);
    const notes = lines.filter((line) => line.type === 'note');
    expect(notes).toHaveLength(1);
    expect(lines.at(-1)).toEqual(undisturbed.at(-1));
  });
});
