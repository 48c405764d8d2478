/**
 * @file The parent's side of the engine. Native code can abort, so it lives in a child process: requests go over IPC, a
 * death becomes a typed error (`ENGINE_CRASHED` and its kin) with the task and the engine's last words, and the next request starts a
 * new engine.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { createRequire } from 'node:module';
import { BitsmithError, deserializeError } from '@bitsmith/formats';
import { engineEnvironment } from '@bitsmith/ggml/probe';
import type { EngineReply, EngineRequest, EngineTasks, TaskKind } from './protocol.js';
import type { EngineSettings } from './task-type.js';

interface Pending {
  /** The process that the request went to: the death of an older one says nothing about it. */
  readonly child: ChildProcess;
  readonly kind: TaskKind;
  readonly onEvent: (event: unknown) => void;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

const LAST_WORDS_BYTES = 4096;

export class EngineHost {
  readonly settings: EngineSettings;
  private child: ChildProcess | undefined;
  private readonly pending = new Map<number, Pending>();
  private nextId = 1;
  private lastWords = '';
  private closed = false;
  private readonly entry: string;

  constructor(settings: EngineSettings, entry?: string) {
    this.settings = settings;
    this.entry = entry ?? createRequire(import.meta.url).resolve('@bitsmith/core/engine');
  }

  /** The running engine's process id, for memory accounting. */
  get processId(): number | undefined {
    return this.child?.pid;
  }

  /**
   * Runs one task in the engine. Aborting kills the engine: native work cannot be interrupted otherwise.
   * @throws BitsmithError `ENGINE_CRASHED`, `ENGINE_KILLED` or `ENGINE_OUT_OF_MEMORY` when the process dies, `ENGINE_CLOSED` after `close`, or the task's own error.
   */
  async run<Kind extends TaskKind>(
    kind: Kind,
    parameters: EngineTasks[Kind]['parameters'],
    options: { onEvent?: (event: EngineTasks[Kind]['event']) => void; signal?: AbortSignal } = {},
  ): Promise<EngineTasks[Kind]['result']> {
    const { signal, onEvent } = options;
    signal?.throwIfAborted();
    if (this.closed) throw afterClose(kind);
    const id = this.nextId++;
    const request: EngineRequest<Kind> = { id, kind, parameters };
    const child = (this.child ??= this.start());
    const abort = (): void => void child.kill('SIGKILL');
    signal?.addEventListener('abort', abort, { once: true });
    try {
      return await new Promise<EngineTasks[Kind]['result']>((resolve, reject) => {
        this.pending.set(id, {
          child,
          kind,
          onEvent: (event) => onEvent?.(event as EngineTasks[Kind]['event']),
          resolve: resolve as (result: unknown) => void,
          reject,
        });
        child.send(request, (error) => {
          if (error === null) return;
          if (this.child === child) this.child = undefined;
          this.fail(id, crashed(kind, 'could not be reached', this.lastWords, error));
        });
      });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      signal?.removeEventListener('abort', abort);
    }
  }

  /**
   * Ends the engine process and waits until it is gone. What was running is rejected, and nothing starts an engine again:
   * work that goes on after its reader left would otherwise bring up a new one.
   */
  async close(): Promise<void> {
    this.closed = true;
    for (const [id, { kind }] of this.pending) this.fail(id, afterClose(kind));
    await this.rest();
  }

  /** Ends an idle engine process and waits until it is gone, so that it maps no file; the next request starts another one. */
  async rest(): Promise<void> {
    const child = this.child;
    this.child = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGKILL');
    await gone;
  }

  private start(): ChildProcess {
    this.lastWords = '';
    const child = fork(this.entry, [JSON.stringify(this.settings)], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
      env: { ...process.env, ...engineEnvironment(this.settings.threads) },
    });
    child.stderr?.setEncoding('utf8');
    child.stderr?.on('data', (text: string) => {
      this.lastWords = (this.lastWords + text).slice(-LAST_WORDS_BYTES);
      if (this.settings.verbose) process.stderr.write(text);
    });
    child.on('message', (reply) => this.receive(reply as EngineReply));
    child.on('error', (error) => this.lose(child, 'could not be started', error));
    child.on('close', (code, signal) =>
      this.lose(child, signal === null ? `ended with exit code ${code}` : `was killed by ${signal}`),
    );
    return child;
  }

  /** The process is gone: everything that waits for it fails. */
  private lose(child: ChildProcess, how: string, cause?: unknown): void {
    if (this.child === child) this.child = undefined;
    for (const [id, pending] of this.pending) {
      if (pending.child === child) this.fail(id, crashed(pending.kind, how, this.lastWords, cause));
    }
  }

  private receive(reply: EngineReply): void {
    const pending = this.pending.get(reply.id);
    if (pending === undefined) return;
    switch (reply.type) {
      case 'event':
        pending.onEvent(reply.event);
        return;
      case 'result':
        this.pending.delete(reply.id);
        pending.resolve(reply.result);
        return;
      case 'error':
        this.fail(reply.id, deserializeError(reply.error));
        return;
      default:
        reply satisfies never;
    }
  }

  private fail(id: number, error: unknown): void {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    pending?.reject(error);
  }
}

function afterClose(kind: TaskKind): BitsmithError {
  return new BitsmithError(
    'engine',
    'ENGINE_CLOSED',
    `the task "${kind}" was not finished: its run has ended`,
  );
}

const AGAIN = 'Run the same command again: finished work is kept.';

/** What the native code says when an allocation fails. */
const NO_MEMORY = /bad_alloc|failed to allocate|mem_buffer != NULL|out of memory|cannot allocate memory/i;

function crashed(kind: TaskKind, how: string, lastWords: string, cause?: unknown): BitsmithError {
  const words = lastWords.trim().split('\n').slice(-6).join('\n');
  const message = `the engine ${how} during the task "${kind}"${words === '' ? '' : `; its last words:\n${words}`}`;
  if (NO_MEMORY.test(words)) {
    return new BitsmithError('resources', 'ENGINE_OUT_OF_MEMORY', message, {
      suggestion: `Use a shorter --chunk, close other programs, or take a machine with more memory. ${AGAIN}`,
      cause,
    });
  }
  if (how.endsWith('SIGKILL')) {
    return new BitsmithError('resources', 'ENGINE_KILLED', message, {
      suggestion: `Most likely the system ended it because memory ran out: use a shorter --chunk, close other programs, or take a machine with more memory. ${AGAIN}`,
      cause,
    });
  }
  return new BitsmithError('engine', 'ENGINE_CRASHED', message, {
    suggestion: `${AGAIN} If it happens again with the same last words, the source file may be damaged or the machine out of memory.`,
    cause,
  });
}
