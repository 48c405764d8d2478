import { beforeAll, describe, expect, test } from 'vitest';
import type { RunEvent } from '../../src/run/events.js';
import { childrenOf, processGone } from '../support/processes.js';
import { type Line, leanRun, noSignals, type Place, places, startProgram } from '../support/small-run.js';

const freshPlace = await places();

describe.skipIf(noSignals)('an engine that is killed (needs signals)', () => {
  // Several batches, and a large tensor in a type that takes long: the first report is then heard while others are computed.
  const locks = [...leanRun.locks, String.raw`^output\.weight=IQ2_XXS`];
  const options = { ...leanRun, locks, calibrationTokens: 4096 };
  let done: Place;
  let undisturbed: readonly Line[];

  beforeAll(async () => {
    done = await freshPlace();
    undisturbed = await startProgram({ ...options, ...done }).ended;
  }, 300_000);

  test.each(['calibrate', 'measure', 'encode', 'verify'] as const)(
    'in %s: the run goes on with a new one, says so, and ends with the same bytes',
    { timeout: 300_000 },
    async (stage) => {
      let killed: number | undefined;
      const kill = (line: Line): void => {
        if (line.type !== 'progress' || line.stage !== stage || killed !== undefined) return;
        [killed] = childrenOf(program.child.pid as number);
        process.kill(killed as number, 'SIGKILL');
      };
      // What comes before the last two stages may be in the store.
      const place = await freshPlace(stage === 'encode' || stage === 'verify' ? done : undefined);
      const program = startProgram({ ...options, ...place }, { onLine: kill });
      const lines = await program.ended;
      await processGone(killed as number);
      const notes = lines.filter(
        (line): line is RunEvent & { type: 'note' } => line.type === 'note' && line.level !== 'verbose',
      );
      expect(notes.map(({ level }) => level)).toEqual(['warning']);
      expect(notes[0].message).toMatch(
        /the engine (was killed by SIGKILL|could not be reached) during the task/,
      );
      expect(lines.at(-1)).toMatchObject({ type: 'result' });
      expect(lines.at(-1)).toEqual(undisturbed.at(-1));
    },
  );
});
