import { expect, test } from 'vitest';
import { inLanes } from '../../src/run/lanes.js';

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

test('every item once, in order of start, never more at a time than lanes', async () => {
  const started: number[] = [];
  let running = 0;
  let most = 0;
  await inLanes(
    3,
    Array.from({ length: 20 }, (_, i) => i),
    async (item) => {
      started.push(item);
      most = Math.max(most, ++running);
      await pause(item % 4);
      running--;
    },
  );
  expect(started).toEqual(Array.from({ length: 20 }, (_, i) => i));
  expect(most).toBe(3);
});

test('a generator is drawn from only as far as lanes are free', async () => {
  let drawn = 0;
  function* items(): Generator<number> {
    for (let i = 0; i < 10; i++) {
      drawn++;
      yield i;
    }
  }
  const lead: number[] = [];
  await inLanes(2, items(), async (item) => {
    lead.push(drawn - item);
    await pause(1);
  });
  expect(Math.max(...lead)).toBeLessThanOrEqual(2);
});

test('the first failure is thrown, after running jobs have ended, and starts no new ones', async () => {
  const ended: number[] = [];
  const started: number[] = [];
  const failing = inLanes(2, [0, 1, 2, 3, 4, 5], async (item) => {
    started.push(item);
    if (item === 1) throw new Error('item 1');
    await pause(20);
    ended.push(item);
  });
  await expect(failing).rejects.toThrow('item 1');
  expect(started).toEqual([0, 1]);
  expect(ended).toEqual([0]);
});

test('a failing iterator is a failure like any other', async () => {
  function* items(): Generator<number> {
    yield 0;
    throw new Error('no more');
  }
  await expect(inLanes(2, items(), async () => undefined)).rejects.toThrow('no more');
});

test('nothing to do', async () => {
  await inLanes(4, [], async () => {
    throw new Error('no job may start');
  });
});
