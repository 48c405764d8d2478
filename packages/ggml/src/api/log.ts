/**
 * @file What native code says. Verbose engines write to stderr themselves. Quiet ones give their lines to a native sink
 * that drops them, except while a call runs that may fail with a reason: then the last lines are kept for its error.
 * The collector is a JavaScript function, so it is in place only during calls that log from one thread.
 */
import { registerLogCallback } from '../binding/callbacks.js';
import type { NativeFunctions } from '../binding/libraries.js';
import type { Address } from '../binding/structs.js';

const keptLines = 40;
/** `GGML_LOG_LEVEL_WARN` */
const warningLevel = 3;

export interface LogLine {
  /** `enum ggml_log_level`: 1 debug, 2 info, 3 warning, 4 error, 5 continues the line before. */
  readonly level: number;
  readonly text: string;
}

export class NativeLog {
  private readonly native: NativeFunctions;
  private readonly silent: Address;
  readonly verbose: boolean;
  private lines: LogLine[] = [];
  private collectors = 0;
  private release: (() => void) | undefined;

  constructor(native: NativeFunctions, silent: Address, verbose: boolean) {
    this.native = native;
    this.silent = silent;
    this.verbose = verbose;
    if (!verbose) native.llama_log_set(silent, null);
  }

  /** Runs native work whose log lines explain a failure. May be nested or overlap. */
  async collect<Result>(work: () => Promise<Result>): Promise<Result> {
    if (this.verbose) return work();
    this.begin();
    try {
      return await work();
    } finally {
      this.end();
    }
  }

  /** The same for a call on this thread. */
  collectSync<Result>(work: () => Result): Result {
    if (this.verbose) return work();
    this.begin();
    try {
      return work();
    } finally {
      this.end();
    }
  }

  /** The last warnings and errors, or failing those the last lines, joined for a message. */
  lastWords(): string {
    const loud = this.lines.filter((line) => line.level >= warningLevel);
    const chosen = (loud.length > 0 ? loud : this.lines).slice(-6);
    return chosen
      .map((line) => line.text.trim())
      .filter((text) => text !== '')
      .join('; ');
  }

  private begin(): void {
    this.collectors += 1;
    if (this.collectors > 1) return;
    this.lines = [];
    const callback = registerLogCallback((level, text) => {
      this.lines.push({ level, text });
      if (this.lines.length > keptLines) this.lines.shift();
    });
    this.release = () => callback.release();
    this.native.llama_log_set(callback.address, null);
  }

  private end(): void {
    this.collectors -= 1;
    if (this.collectors > 0) return;
    this.native.llama_log_set(this.silent, null);
    this.release?.();
    this.release = undefined;
  }
}
