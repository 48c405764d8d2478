/**
 * @file The start-up probe. The engine is tried in a child process before anything relies on it, because libraries that do
 * not fit end the process they are loaded into, or compute garbage.
 */
import { BitsmithError, deserializeError, type SerializedError } from '@bitsmith/formats';
import { execFile, type ExecFileException } from 'node:child_process';
import { createRequire } from 'node:module';
import type { EngineDescription } from './api/description.js';

/* Facts that need no native code, for the process that owns the engine's. */
export { engineEnvironment } from './binding/async.js';
export { locateGpuEngine, type GpuEngineLocation } from './binding/gpu.js';
export {
  engineCommit,
  enginePlatform,
  engineRelease,
  type EnginePlatform,
  type GpuBackend,
} from './binding/platform.js';
export type { EngineDescription, GpuDevice } from './api/description.js';

export interface ProbeOptions {
  signal?: AbortSignal;
  /** How long the child may take, in milliseconds; 60,000 unless told. */
  timeoutMs?: number;
  /** The child's entry file; the package's own unless told. */
  entry?: string;
  /** Tries the installed GPU engine, and whether its devices start. */
  gpu?: boolean;
}

interface ProbeReport {
  readonly description?: EngineDescription;
  readonly failures?: readonly string[];
  readonly error?: SerializedError;
}

interface Outcome {
  readonly failure: ExecFileException | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Tries the engine in a process of its own.
 * @returns what the engine is
 * @throws BitsmithError `ENGINE_PROBE_FAILED` with the child's last words, or the child's own error (`ENGINE_NOT_INSTALLED`, ...)
 */
export async function probeEngine({
  signal,
  timeoutMs = 60_000,
  entry,
  gpu = false,
}: ProbeOptions = {}): Promise<EngineDescription> {
  signal?.throwIfAborted();
  const file = entry ?? createRequire(import.meta.url).resolve('@bitsmith/ggml/probe-child');
  const outcome = await runChild(gpu ? [file, '--gpu'] : [file], timeoutMs, signal);
  signal?.throwIfAborted();
  const report = parseReport(outcome.stdout);
  if (report?.error !== undefined) throw deserializeError(report.error);
  if (report?.failures !== undefined && report.failures.length > 0) {
    throw probeFailed(
      `the engine is not the one expected: ${report.failures.slice(0, 5).join('; ')}`,
      outcome.failure,
    );
  }
  if (report?.description === undefined || outcome.failure !== null) throw died(outcome);
  return report.description;
}

function runChild(
  args: readonly string[],
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      args,
      {
        timeout,
        signal,
        killSignal: 'SIGKILL',
        windowsHide: true,
        encoding: 'utf8',
        env: { ...process.env, NODE_OPTIONS: '' },
      },
      (failure, stdout, stderr) => resolve({ failure, stdout, stderr }),
    );
  });
}

function parseReport(stdout: string): ProbeReport | undefined {
  const line = stdout.trim().split('\n').at(-1) ?? '';
  try {
    return JSON.parse(line) as ProbeReport;
  } catch {
    return undefined;
  }
}

function died({ failure, stderr }: Outcome): BitsmithError {
  const how =
    failure === null
      ? 'it said nothing'
      : failure.killed === true
        ? 'it took too long'
        : `it ended with ${failure.signal ?? `code ${String(failure.code)}`}`;
  const lastWords = stderr.trim().slice(-2000);
  return probeFailed(`${how}${lastWords === '' ? '' : `; its last words: ${lastWords}`}`, failure);
}

function probeFailed(found: string, cause: unknown): BitsmithError {
  return new BitsmithError(
    'engine',
    'ENGINE_PROBE_FAILED',
    `expected an engine that works on this machine, but ${found}`,
    {
      found,
      suggestion:
        'Reinstall the dependencies (npm ci); if it fails again, report this message with your processor and system.',
      cause: cause ?? undefined,
    },
  );
}
