/** @file One command's run: events to the terminal, Ctrl-C to the work, the result to stdout. */
import type { Work } from '@bitsmith/core';
import { BitsmithError } from '@bitsmith/formats';
import type { CliContext, CliProcess } from './context.js';
import type { OutputFlags } from './flags.js';
import { ProgressRenderer } from './render/progress.js';
import { type Terminal, terminalOf } from './render/terminal.js';

const stopSignals = ['SIGINT', 'SIGTERM'] as const;

/**
 * Runs work to its end, showing its events on stderr.
 * The first SIGINT or SIGTERM aborts the work and ends it cleanly; the second ends the process at once.
 * @throws BitsmithError `CANCELLED` after a signal; else what the work throws
 */
export async function runWork<Result>(
  context: CliContext,
  flags: OutputFlags,
  start: (signal: AbortSignal) => Work<Result>,
): Promise<Result> {
  const { host } = context;
  const renderer = rendererFor(host, flags);
  const abort = new AbortController();
  const onSignal = (name: NodeJS.Signals): void => {
    if (abort.signal.aborted) {
      renderer.close();
      host.exit(cancelled(name).exitCode);
    }
    if (!flags.quiet) renderer.print(`Stopping (${name}); once more to stop at once.`);
    abort.abort(cancelled(name));
  };
  for (const name of stopSignals) host.on(name, onSignal);
  try {
    const work = start(abort.signal);
    for (;;) {
      const step = await work.next();
      if (step.done === true) return step.value;
      renderer.handle(step.value);
    }
  } catch (error) {
    // The engine may die of the same signal: what counts is that the user asked to stop.
    abort.signal.throwIfAborted();
    throw error;
  } finally {
    renderer.close();
    for (const name of stopSignals) host.removeListener(name, onSignal);
  }
}

function cancelled(signal: NodeJS.Signals): BitsmithError {
  return new BitsmithError('cancelled', 'CANCELLED', `stopped by ${signal}`, {
    suggestion: 'What was finished is kept: the same command continues from there.',
  });
}

function rendererFor(host: CliProcess, flags: OutputFlags): ProgressRenderer {
  return new ProgressRenderer(host.stderr, {
    terminal: () => terminalOf(host.stderr, host.env),
    // The engine's own log goes straight to stderr and would run through live lines.
    live: host.stderr.isTTY === true && host.env['TERM'] !== 'dumb' && !flags.verbose,
    verbosity: flags.quiet ? 'quiet' : flags.verbose ? 'verbose' : 'normal',
  });
}

/** Writes a result: as JSON for machines, or drawn for the terminal that reads it. */
export function printResult(
  context: CliContext,
  flags: OutputFlags,
  result: { readonly json: object; readonly draw: (terminal: Terminal) => string },
): void {
  const { stdout, env } = context.host;
  if (!flags.json) stdout.write(result.draw(terminalOf(stdout, env)));
  else stdout.write(`${JSON.stringify({ status: 'success', ...result.json }, null, 2)}\n`);
}
