/** @file What a command sees of the world. */
import type { CommandContext, StricliProcess } from '@stricli/core';

/** The parts of Node's `process` that the command uses. */
export type CliProcess = Pick<NodeJS.Process, 'stdout' | 'stderr' | 'env' | 'on' | 'removeListener' | 'exit'>;

export interface CliContext extends CommandContext {
  readonly process: StricliProcess;
  readonly host: CliProcess;
}
