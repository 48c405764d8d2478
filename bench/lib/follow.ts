/** @file Runs long work to its end and says now and then how far it is. */
import type { Work } from '@bitsmith/core';
import { say } from './report.js';

const EVERY_MS = 20_000;

export async function follow<Result>(work: Work<Result>): Promise<Result> {
  let last = performance.now();
  for (;;) {
    const step = await work.next();
    if (step.done === true) return step.value;
    const event = step.value;
    if (event.type === 'stage-end') say(`  ${event.stage}: ${event.summary}, ${event.seconds.toFixed(1)} s`);
    if (event.type === 'note' && event.level === 'warning') say(`  ${event.message}`);
    if (event.type === 'progress' && performance.now() - last > EVERY_MS) {
      last = performance.now();
      say(`  ${event.item ?? event.stage}: ${event.done} of ${event.total}`);
    }
  }
}
