/** @file Processor time of a process, read from Linux's `/proc`. */
import { readFileSync } from 'node:fs';

/** Seconds of processor time that one process has used, all its threads together; null where the system does not tell. */
export function processorSeconds(processId: number | undefined): number | null {
  const ticksPerSecond = 100;
  try {
    const text = readFileSync(`/proc/${processId}/stat`, 'utf8');
    // Behind the name, which may hold anything: state, ..., utime and stime as the 12th and 13th.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  } catch {
    return null;
  }
}
