import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { adoptCalibration } from '../../src/calibrate/calibrate.js';
import type { Variant } from '../../src/measure/live/change.js';
import { measureVariants } from '../../src/measure/live/variants.js';
import type { TrueLoss } from '../../src/measure/live/variants-task.js';
import { openModel } from '../../src/model/open.js';
import { inRun } from '../../src/run/context.js';
import type { RunEvent } from '../../src/run/events.js';
import { loadCorpus } from '../../src/text/corpus.js';
import { firstChunks, tokenizeTexts } from '../../src/text/tokenize.js';
import { expectFailure } from '../support/errors.js';
import { golden, orator, runJob } from '../support/jobs.js';
import { temporaryFolder } from '../support/temporary.js';

const home = path.join(await temporaryFolder(), 'home');
const down = 'blk.0.ffn_down.weight';
const query = 'blk.5.attn_q.weight';

const q3 = (tensor: string) => ({ tensor, change: { kind: 'scheme', scheme: 'Q3_K' } }) as const;
const q2 = (tensor: string) => ({ tensor, change: { kind: 'scheme', scheme: 'Q2_K' } }) as const;

/** @param skip chunks of the text that are passed over */
async function measured(variants: readonly Variant[], skip = 0) {
  const work = inRun({ home, threads: 1 }, async function* (run) {
    const model = yield* openModel(orator, { store: run.store });
    const calibration = yield* adoptCalibration(run, model, path.join(golden, 'orator-8m.imatrix.gguf'));
    const corpus = await loadCorpus();
    const [whole] = await tokenizeTexts(run, model, [corpus.search], 32);
    const text = firstChunks({ ...whole, chunks: whole.chunks.slice(skip) }, 64);
    return yield* measureVariants(run, model, calibration, text, variants);
  });
  const { result, events } = await runJob(work);
  return { losses: result, made: made(events) };
}

/** How many measurements the engine made. */
function made(events: readonly RunEvent[]): number {
  const done = events.flatMap((event) =>
    event.type === 'progress' && event.unit === 'measurements' ? [event.done] : [],
  );
  return (done.at(-1) ?? 0) - (done.at(0) ?? 0);
}

describe('the store', () => {
  test('keeps each set of changes once, under whatever id and in whatever order', async () => {
    const first = await measured([
      { id: 'a', changes: [q3(down), q2(query)] },
      { id: 'b', changes: [q3(down)] },
      { id: 'same as a', changes: [q2(query), q3(down)] },
    ]);
    expect(first.made).toBe(2);
    expect([...first.losses.keys()]).toEqual(['a', 'b', 'same as a']);
    expect(first.losses.get('same as a')).toEqual(first.losses.get('a'));
    expect(first.losses.get('a')).not.toEqual(first.losses.get('b'));
    const again = await measured([
      { id: 'b', changes: [q2(query), q3(down)] },
      { id: 'c', changes: [q3(query)] },
    ]);
    expect(again.made).toBe(1);
    expect(again.losses.get('b')).toEqual(first.losses.get('a'));
    expect(await readdir(path.join(home, 'artifacts', 'true-loss'))).toHaveLength(3);
  });

  test('takes other chunks of the same text for another text', async () => {
    const variant = { id: 'b', changes: [q3(down)] };
    const other = await measured([variant], 2);
    expect(other.made).toBe(1);
    expect(other.losses.get('b')).not.toEqual((await measured([variant])).losses.get('b'));
  });

  test('has nothing to do with nothing to measure', async () => {
    expect((await measured([])).losses.size).toBe(0);
  });

  test('gives back every number as it was measured', async () => {
    const variant = { id: 'x', changes: [{ tensor: query, change: { kind: 'zero' } }] } as const;
    const fresh = (await measured([variant])).losses.get('x') as TrueLoss;
    const kept = (await measured([variant])).losses.get('x') as TrueLoss;
    expect(kept).toEqual(fresh);
    expect(fresh.sequenceKlNats).toHaveLength(2);
  });
});

test('two variants of one id, and two changes of one tensor, are refused', async () => {
  await expectFailure(
    () =>
      measured([
        { id: 'a', changes: [] },
        { id: 'a', changes: [q3(down)] },
      ]),
    'arguments',
    'VARIANT_REPEATED',
    /two of a$/,
  );
  await expectFailure(
    () => measured([{ id: 'a', changes: [q3(down), q2(down)] }]),
    'arguments',
    'VARIANT_TENSOR_REPEATED',
    /in variant a, found two of blk\.0\.ffn_down\.weight$/,
  );
});
