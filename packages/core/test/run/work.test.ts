import { BitsmithError } from '@bitsmith/formats';
import { describe, expect, test } from 'vitest';
import type { RunEvent } from '../../src/run/events.js';
import {
  againAfterCrash,
  finish,
  stage,
  streamed,
  timed,
  withNewEngineAfterCrash,
} from '../../src/run/work.js';

const pause = (milliseconds = 0) => new Promise((resolve) => setTimeout(resolve, milliseconds));

async function collect<Event, Result>(work: AsyncGenerator<Event, Result, void>) {
  const events: Event[] = [];
  for (;;) {
    const step = await work.next();
    if (step.done === true) return { events, result: step.value };
    events.push(step.value);
  }
}

describe('streamed', () => {
  test('events in order, then the result', async () => {
    const work = streamed<number, string>(async (emit) => {
      emit(1);
      emit(2);
      await pause(1);
      emit(3);
      await pause(1);
      emit(4);
      return 'done';
    });
    expect(await collect(work)).toEqual({ events: [1, 2, 3, 4], result: 'done' });
  });

  test('events come while the work is going on', async () => {
    let release: () => void = () => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const work = streamed<string, null>(async (emit) => {
      emit('begun');
      await held;
      return null;
    });
    expect(await work.next()).toEqual({ done: false, value: 'begun' });
    release();
    expect(await work.next()).toEqual({ done: true, value: null });
  });

  test('none is lost when many come between two reads, or with the end', async () => {
    const work = streamed<number, number>(async (emit) => {
      for (let i = 0; i < 1000; i++) {
        emit(i);
        if (i % 100 === 0) await pause();
      }
      return 1000;
    });
    const { events, result } = await collect(work);
    expect(events).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect(result).toBe(1000);
  });

  test('a failure comes after the events before it', async () => {
    const work = streamed<number, never>(async (emit) => {
      emit(1);
      throw new Error('broken');
    });
    expect(await work.next()).toEqual({ done: false, value: 1 });
    await expect(work.next()).rejects.toThrow('broken');
  });

  test('a failure long before anyone asks is not an unhandled one', async () => {
    const unhandled: unknown[] = [];
    const listen = (error: unknown): void => void unhandled.push(error);
    process.on('unhandledRejection', listen);
    try {
      const work = streamed<number, never>(async (emit) => {
        emit(1);
        throw new Error('early');
      });
      await work.next();
      await pause(20);
      await expect(work.next()).rejects.toThrow('early');
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', listen);
    }
  });
});

const crash = (): BitsmithError => new BitsmithError('engine', 'ENGINE_CRASHED', 'gone');

/** Work of `parts` parts in which every attempt does the next number of `script` parts, then dies. */
function scripted(parts: number, script: readonly number[]) {
  let done = 0;
  let attempts = 0;
  const crashes: BitsmithError[] = [];
  const outcome = withNewEngineAfterCrash(
    () => parts - done,
    async () => {
      const doable = script[attempts++] ?? Number.POSITIVE_INFINITY;
      const reached = done + doable;
      done = Math.min(parts, reached);
      if (reached < parts) throw crash();
    },
    (error) => crashes.push(error),
  );
  return outcome.then(
    () => ({ done, attempts, crashes: crashes.length, failed: false }),
    () => ({ done, attempts, crashes: crashes.length, failed: true }),
  );
}

describe('withNewEngineAfterCrash', () => {
  test('nothing missing: no attempt', async () => {
    expect(await scripted(0, [])).toEqual({ done: 0, attempts: 0, crashes: 0, failed: false });
  });

  test('goes on after every crash as long as each attempt gets further', async () => {
    expect(await scripted(5, [1, 1, 1, 1])).toEqual({ done: 5, attempts: 5, crashes: 4, failed: false });
  });

  test('one attempt may get nowhere: a passing cause deserves another try', async () => {
    expect(await scripted(3, [0])).toEqual({ done: 3, attempts: 2, crashes: 1, failed: false });
    expect(await scripted(3, [1, 0, 1, 0])).toEqual({ done: 3, attempts: 5, crashes: 4, failed: false });
  });

  test('two in a row that get nowhere end it', async () => {
    expect(await scripted(3, [1, 0, 0])).toEqual({ done: 1, attempts: 3, crashes: 2, failed: true });
  });

  test('any other failure is not tried again', async () => {
    let attempts = 0;
    const failing = withNewEngineAfterCrash(
      () => 1,
      async () => {
        attempts++;
        throw new BitsmithError('validation', 'WEIGHT_NOT_FINITE', 'damaged');
      },
      () => undefined,
    );
    await expect(failing).rejects.toMatchObject({ code: 'WEIGHT_NOT_FINITE' });
    expect(attempts).toBe(1);
  });
});

describe('againAfterCrash', () => {
  test('tries once more after a crash, and only then', async () => {
    for (const [failures, outcome] of [
      [[], 'done'],
      [[crash()], 'done'],
      [[crash(), crash()], 'gone'],
      [[new Error('other')], 'other'],
    ] as const) {
      const left: Error[] = [...failures];
      let crashes = 0;
      const work = againAfterCrash(
        async () => {
          const failure = left.shift();
          if (failure !== undefined) throw failure;
          return 'done';
        },
        () => crashes++,
      );
      expect(await work.catch((error: Error) => error.message)).toBe(outcome);
      expect(crashes).toBe(failures[0]?.message === 'gone' ? 1 : 0);
    }
  });
});

test('a stage is framed by its start and end, with seconds that passed', async () => {
  const seconds = {};
  const work = stage('encode', 'two tensors', async function* () {
    yield { type: 'progress', stage: 'encode', done: 1, total: 2, unit: 'tensors' } as const;
    await pause(30);
    return { result: 42, summary: 'all done', cached: false };
  });
  const { events, result } = await collect(timed(work, seconds));
  expect(result).toBe(42);
  expect(events.map(({ type }) => type)).toEqual(['stage-start', 'progress', 'stage-end']);
  const last = events.at(-1) as Extract<RunEvent, { type: 'stage-end' }>;
  expect(last).toMatchObject({ stage: 'encode', summary: 'all done', cached: false });
  expect(last.seconds).toBeGreaterThan(0.02);
  expect(seconds).toEqual({ encode: last.seconds });
});

test('the seconds of a stage in two parts add up', async () => {
  const seconds: { verify?: number } = { verify: 10 };
  const work = stage('verify', 'again', async function* () {
    yield { type: 'note', level: 'info', message: 'looked up' } as const;
    return { result: null, summary: '', cached: true };
  });
  await finish(timed(work, seconds));
  expect(seconds.verify).toBeGreaterThanOrEqual(10);
});
