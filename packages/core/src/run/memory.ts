/** @file How much memory a run takes: its own and its engine's resident memory together, sampled while it runs. */
import { readFileSync } from 'node:fs';

const INTERVAL_MS = 250;

export class MemoryWatch {
  private peak = 0;
  private readonly timer: NodeJS.Timeout;
  private readonly engineProcess: () => number | undefined;

  constructor(engineProcess: () => number | undefined) {
    this.engineProcess = engineProcess;
    this.timer = setInterval(() => this.sample(), INTERVAL_MS).unref();
  }

  /** The largest sum seen, in bytes. Mapped pages of model files count where they are resident. */
  get peakBytes(): number {
    this.sample();
    return this.peak;
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private sample(): void {
    const engine = this.engineProcess();
    const bytes = process.memoryUsage.rss() + (engine === undefined ? 0 : residentBytes(engine));
    this.peak = Math.max(this.peak, bytes);
  }
}

/** Resident memory of another process where the system tells (Linux); elsewhere 0. */
function residentBytes(processId: number): number {
  try {
    const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${processId}/status`, 'utf8'));
    return match === null ? 0 : Number(match[1]) * 1024;
  } catch {
    return 0;
  }
}
