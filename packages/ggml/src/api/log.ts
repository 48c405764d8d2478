/**
 * @file What native code says. Verbose engines write to stderr themselves. Quiet ones give their lines to a native sink
 * that drops them, except during a call that may fail with a reason: then the last lines are kept for its error. The
 * collector is a JavaScript function, so such calls run on the JavaScript thread: from another thread a line would wait for
 * this one, and a process that exits meanwhile would never end.
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

  constructor(native: NativeFunctions, silent: Address, verbose: boolean) {
    this.native = native;
    this.silent = silent;
    this.verbose = verbose;
    if (!verbose) native.llama_log_set(silent, null);
  }

  /** Runs a native call on this thread, whose log lines explain a failure. Not to be nested. */
  collect<Result>(work: () => Result): Result {
    if (this.verbose) return work();
    this.lines = [];
    const callback = registerLogCallback((level, text) => {
      this.lines.push({ level, text });
      if (this.lines.length > keptLines) this.lines.shift();
    });
    this.native.llama_log_set(callback.address, null);
    try {
      return work();
    } finally {
      this.native.llama_log_set(this.silent, null);
      callback.release();
    }
  }

  /** Runs a native call on this thread and returns all that it says, also where the engine is verbose. Not to be nested. */
  read<Result>(work: () => Result): { readonly result: Result; readonly text: string } {
    const said: string[] = [];
    const callback = registerLogCallback((_level, text) => {
      said.push(text);
    });
    this.native.llama_log_set(callback.address, null);
    try {
      return { result: work(), text: said.join('') };
    } finally {
      // Without a callback, the engine writes to stderr itself.
      this.native.llama_log_set(this.verbose ? null : this.silent, null);
      callback.release();
    }
  }

  /** The last warnings and errors of the last collection, joined for a message. */
  warnings(): string {
    return joined(this.lines.filter((line) => line.level >= warningLevel));
  }

  /** The same, or failing those its last lines. */
  lastWords(): string {
    const warnings = this.warnings();
    return warnings === '' ? joined(this.lines) : warnings;
  }
}

function joined(lines: readonly LogLine[]): string {
  return lines
    .slice(-6)
    .map((line) => line.text.trim())
    .filter((text) => text !== '')
    .join('; ');
}
