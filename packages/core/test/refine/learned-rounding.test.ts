/** Learned rounding as a run makes it: artifacts in the store, bytes in the live model. */
import path from 'node:path';
import { expect, test } from 'vitest';
import { adoptCalibration } from '../../src/calibrate/calibrate.js';
import { learnRounding } from '../../src/encode/learned/learned.js';
import { readParts } from '../../src/encode/learned/stored-parts.js';
import type { Change } from '../../src/measure/live/change.js';
import { measureVariants } from '../../src/measure/live/variants.js';
import { openModel } from '../../src/model/open.js';
import type { StorageType } from '../../src/plan/schemes.js';
import { learnedRounding } from '../../src/refine/gradual/learned-rounding.js';
import { inRun } from '../../src/run/context.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { expectFailure } from '../support/errors.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = path.join(await temporaryFolder(), 'home');
const value = 'blk.0.attn_v.weight';
const up = 'blk.0.ffn_up.weight';
const schemes = new Map<string, StorageType>([
  [value, 'Q3_K'],
  [up, 'affine3-g64'],
]);
const options = { steps: 10, samples: 16, batch: 3 };

test(
  'a step gets bytes that lose less in the live model than the nearest codes, once',
  { timeout: 60_000 },
  async () => {
    const work = inRun({ home, threads: 2 }, async function* (run) {
      const model = yield* openModel(orator, { store: run.store });
      const calibration = yield* adoptCalibration(run, model, path.join(golden, 'orator-8m.imatrix.gguf'));
      const corpus = await loadCorpus();
      const [text, search] = await tokenizeTexts(run, model, [corpus.calibration, corpus.search], 64);
      const input = { model, calibration, text, options };
      const method = learnedRounding({ run, ...input });
      expect(method.change(up, 'affine3-g64')).toBeNull();
      yield* method.prepare!(schemes);
      yield* method.prepare!(new Map([['token_embd.weight', 'Q4_0']]));
      expect(method.change('token_embd.weight', 'Q4_0')).toBeNull();
      expect(method.change(up, 'Q4_0')).toBeNull();
      const learned = [...schemes].map(([tensor, scheme]) => ({
        tensor,
        change: method.change(tensor, scheme) as Change,
      }));
      const nearest = [...schemes].map(([tensor, scheme]) => ({
        tensor,
        change: { kind: 'scheme', scheme } as Change,
      }));
      const losses = yield* measureVariants(run, model, calibration, firstChunks(search, 1024), [
        { id: 'learned', changes: learned },
        { id: 'nearest', changes: nearest },
      ]);
      const { places } = yield* learnRounding(run, { ...input, schemes });
      const parts = await Promise.all([...places.values()].map((place) => readParts(place.path, place.name)));
      return { losses, parts, changes: learned.map(({ change }) => change), places: [...places.values()] };
    });
    const { result } = await runJob(work);
    const { losses, parts, changes, places } = result;
    expect(changes).toEqual(
      places.map((place, index) => ({ kind: 'encoded', scheme: [...schemes.values()][index], ...place })),
    );
    expect(Object.keys(parts[0])).toEqual(['data']);
    expect(new Set(Object.keys(parts[1]))).toEqual(new Set(['data', 'scales', 'zeroPoints']));
    expect(losses.get('learned')!.klNats).toBeGreaterThan(0);
    expect(losses.get('learned')!.klNats).toBeLessThan(0.95 * losses.get('nearest')!.klNats);
  },
);

test('what has no block, and what has no levels, is refused before anything runs', async () => {
  const learning = (tensor: string, scheme: StorageType) => () =>
    runJob(
      inRun({ home, threads: 1 }, async function* (run) {
        const model = yield* openModel(orator, { store: run.store });
        const calibration = yield* adoptCalibration(run, model, path.join(golden, 'orator-8m.imatrix.gguf'));
        const corpus = await loadCorpus();
        const [text] = await tokenizeTexts(run, model, [corpus.search], 64);
        return yield* learnRounding(run, { model, calibration, text, schemes: new Map([[tensor, scheme]]) });
      }),
    );
  await expectFailure(learning('output.weight', 'Q4_0'), 'arguments', 'LEARNED_TENSOR', /output\.weight/);
  await expectFailure(learning(up, 'IQ4_XS'), 'arguments', 'LEARNED_SCHEME', /blk\.0\.ffn_up\.weight/);
});
