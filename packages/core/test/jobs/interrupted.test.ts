import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { hashOf, snapshot } from '../support/jobs.js';
import { groupGone } from '../support/processes.js';
import { randomFrom } from '../support/random.js';
import { type Line, noSignals, type Place, places, leanRun, startProgram } from '../support/small-run.js';

const KILLS = 20;
const freshPlace = await places();
const { model } = await freshPlace();

/** A stretch of a run: what begins it, and how long it lasts undisturbed. */
interface Stretch {
  readonly begins: (line: Line) => boolean;
  readonly milliseconds: number;
}

interface Reference {
  readonly sha256: string;
  readonly startMilliseconds: number;
  readonly stretches: readonly Stretch[];
}

/** The uninterrupted run, timed stage by stage. */
async function runUninterrupted(): Promise<Reference> {
  const place = await freshPlace();
  const started = performance.now();
  const seen: { line: Line; at: number }[] = [];
  const { ended } = startProgram(
    { ...leanRun, ...place },
    { onLine: (line) => seen.push({ line, at: performance.now() }) },
  );
  await ended;
  const marks = seen.filter(({ line }) => line.type === 'stage-start' || line.type === 'stage-end');
  const stretches = marks.map(({ line, at }, index): Stretch => {
    const milliseconds = (marks[index + 1]?.at ?? seen.at(-1)?.at ?? at) - at;
    return { begins: (other) => sameMark(line, other), milliseconds };
  });
  expect(seen.at(-1)?.line).toMatchObject({ type: 'result' });
  return { sha256: await hashOf(place.output), startMilliseconds: marks[0].at - started, stretches };
}

function sameMark(a: Line, b: Line): boolean {
  if (a.type === 'stage-start') return b.type === 'stage-start' && a.stage === b.stage && a.label === b.label;
  if (a.type === 'stage-end') return b.type === 'stage-end' && a.stage === b.stage;
  return false;
}

/** Lets a run go until a random moment of a random stretch and kills it there, unless it is done before; what it said. */
async function runAndKill(place: Place, random: () => number): Promise<readonly Line[]> {
  const choice = Math.floor(random() * (reference.stretches.length + 1));
  const stretch = reference.stretches[choice];
  const delay = random() * (stretch?.milliseconds ?? reference.startMilliseconds);
  // The command alone now and then: its engine must not go on without it.
  const whole = random() < 0.7;
  let timer: NodeJS.Timeout | undefined;
  const kill = (): void => {
    const processId = program.child.pid as number;
    process.kill(whole ? -processId : processId, 'SIGKILL');
  };
  const arm = (): void => void (timer ??= setTimeout(kill, delay));
  const program = startProgram(
    { ...leanRun, ...place },
    { onLine: (line) => stretch?.begins(line) === true && arm() },
  );
  if (stretch === undefined) arm();
  const lines = await program.ended;
  clearTimeout(timer);
  await groupGone(program.child.pid as number);
  const last = lines.at(-1);
  if (last?.type === 'error') throw new Error(`${last.code}: ${last.message}`);
  return lines;
}

const isDone = (lines: readonly Line[]): boolean => lines.at(-1)?.type === 'result';

async function expectNothingHalfWritten({ outputFolder, output }: Place): Promise<void> {
  const names = await readdir(outputFolder);
  // Killed between the file's last rename and the run's record, the file is there, whole.
  expect(names.filter((name) => name !== path.basename(output))).toEqual([]);
  if (names.length > 0) expect(await hashOf(output)).toBe(reference.sha256);
}

let reference: Reference;
let sourceBefore: Record<string, string>;

beforeAll(async () => {
  sourceBefore = await snapshot(model);
  reference = await runUninterrupted();
}, 300_000);

describe.skipIf(noSignals)('a run that is killed (needs signals)', () => {
  test(
    `at ${KILLS} random moments ends with the bytes of one that is not, every time it is run again`,
    { timeout: 900_000 },
    async () => {
      const random = randomFrom(20);
      let kills = 0;
      while (kills < KILLS) {
        const place = await freshPlace();
        let lines: readonly Line[] = [];
        // A few on one store, so that the next run finds what several left behind.
        for (let round = 0; round < 5 && kills < KILLS; round++) {
          lines = await runAndKill(place, random);
          if (isDone(lines)) break;
          kills++;
          await expectNothingHalfWritten(place);
        }
        if (!isDone(lines)) lines = await startProgram({ ...leanRun, ...place }).ended;
        expect(lines.at(-1)).toMatchObject({ type: 'result', sha256: reference.sha256 });
        expect(await hashOf(place.output)).toBe(reference.sha256);
        expect(await readdir(path.join(place.home, 'work'))).toEqual([]);
      }
      expect(await snapshot(model)).toEqual(sourceBefore);
    },
  );

  test('continues encoding after the tensors that were complete', { timeout: 300_000 }, async () => {
    const place = await freshPlace();
    const encoded = new Set<string>();
    const program = startProgram(
      { ...leanRun, ...place },
      {
        onLine: (line) => {
          if (line.type !== 'progress' || line.stage !== 'encode') return;
          encoded.add(line.item as string);
          if (encoded.size === 16) process.kill(-(program.child.pid as number), 'SIGKILL');
        },
      },
    );
    await program.ended;
    const work = path.join(place.home, 'work');
    const journal = (await readdir(work)).find((name) => name.endsWith('.journal')) as string;
    const complete = (await readFile(path.join(work, journal), 'utf8')).split('\n').slice(0, -1);
    expect(complete.length).toBeGreaterThanOrEqual(12);
    const lines = await startProgram({ ...leanRun, ...place }).ended;
    const again = lines.flatMap((line) =>
      line.type === 'progress' && line.stage === 'encode' ? [line.item] : [],
    );
    expect(again.filter((item) => complete.includes(JSON.stringify(item)))).toEqual([]);
    expect(lines.at(-1)).toMatchObject({ type: 'result', sha256: reference.sha256 });
  });
});
