/** @file How fast work goes now: progress over the last seconds, so that one slow start does not spoil the estimate. */

const windowMs = 10_000;
/** Slow work is judged by its last steps, however long ago they were. */
const fewestSamples = 6;
const sampleEveryMs = 50;
/** Before this much has been seen a rate is a guess. */
const minimumSpanMs = 500;

export class RateMeter {
  private samples: { readonly time: number; readonly done: number }[] = [];

  add(timeMs: number, done: number): void {
    const last = this.samples.at(-1);
    if (last !== undefined && done < last.done) this.reset();
    if (this.samples.length > 2 && timeMs - this.samples[this.samples.length - 2].time < sampleEveryMs)
      this.samples.pop();
    this.samples.push({ time: timeMs, done });
    // One sample from before the window stays: it is where the window's progress began.
    while (this.samples.length > fewestSamples && this.samples[1].time < timeMs - windowMs)
      this.samples.shift();
  }

  /** Units per second; 0 while unknown. */
  rate(): number {
    const first = this.samples.at(0);
    const last = this.samples.at(-1);
    if (first === undefined || last === undefined || last.time - first.time < minimumSpanMs) return 0;
    return ((last.done - first.done) * 1000) / (last.time - first.time);
  }

  /** Seconds from now until `total` at the present rate; 0 when it is overdue. */
  secondsUntil(total: number, nowMs: number): number {
    const last = this.samples.at(-1);
    const rate = this.rate();
    if (last === undefined || rate <= 0) return 0;
    return Math.max(0, (total - last.done) / rate - (nowMs - last.time) / 1000);
  }

  reset(): void {
    this.samples = [];
  }
}
