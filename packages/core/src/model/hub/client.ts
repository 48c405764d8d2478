/** @file The Hub's routes, through its own client: which commit, which files, which bytes. Every failure leaves as a coded error. */
import type { ReadableStream } from 'node:stream/web';
import { setTimeout as delay } from 'node:timers/promises';
import { BitsmithError } from '@bitsmith/formats';
import { type HubContext, type HubRefusal, hubError, isTemporary } from './failures.js';
import type { HubReference } from './reference.js';
import type { HubFile } from './select.js';
import { type RemoteFile, TransferInterrupted } from './transfer.js';

export interface HubClientOptions {
  readonly endpoint: string;
  readonly token: string | null;
  /** Wait before the first retry, in milliseconds; doubled for each further one. */
  readonly retryDelayMs: number;
  readonly signal?: AbortSignal;
}

/** More files than any model has: a listing that goes on is not read to its end. */
const maxListedFiles = 50_000;
const maxMetadataAttempts = 4;
/** A server may ask for patience, within reason. */
const maxRetryAfterMs = 60_000;

/** What happened to the last request, which the client's own errors do not say. */
class RequestWatch {
  refusal: HubRefusal | null = null;
  retryAfterMs = 0;
  failure: unknown = null;
  rangeIgnored = false;

  /** A `fetch` that can be cancelled and that remembers how the server answered. */
  fetchWith(signal: AbortSignal | undefined): typeof fetch {
    return async (input, init) => {
      this.refusal = null;
      this.failure = null;
      try {
        const response = await fetch(input, { ...init, signal });
        if (!response.ok) this.remember(response);
        this.refuseIgnoredRange(response, new Headers(init?.headers).get('range'));
        return response;
      } catch (error) {
        this.failure = error;
        throw error;
      }
    };
  }

  private remember(response: Response): void {
    this.refusal = { status: response.status, code: response.headers.get('x-error-code') };
    const seconds = Number(response.headers.get('retry-after'));
    this.retryAfterMs = Number.isFinite(seconds) ? Math.min(seconds * 1000, maxRetryAfterMs) : 0;
  }

  /** A whole file where its rest was asked for must not be appended to what is there. */
  private refuseIgnoredRange(response: Response, range: string | null): void {
    if (response.status !== 200 || range === null || range.startsWith('bytes=0-')) return;
    this.rangeIgnored = true;
    throw new Error('the server does not continue files');
  }
}

export class HubClient {
  private readonly options: HubClientOptions;
  private readonly context: HubContext;

  constructor(reference: HubReference, options: HubClientOptions) {
    this.options = options;
    this.context = { endpoint: options.endpoint, reference, hasToken: options.token !== null };
  }

  /** The commit that the reference's revision stands for. */
  async resolveCommit(): Promise<string> {
    const { repository, revision } = this.context.reference;
    const info = await this.request(async (watched) => {
      const { modelInfo } = await import('@huggingface/hub');
      return modelInfo({ ...watched, name: repository, revision, additionalFields: ['sha'] });
    });
    if (typeof info.sha === 'string' && /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(info.sha)) return info.sha;
    throw this.unexpected(`no commit for ${repository}@${revision}`);
  }

  /** Every file of the repository at that commit. */
  async listFiles(commit: string): Promise<HubFile[]> {
    const { repository } = this.context.reference;
    return this.request(async (watched) => {
      const { listFiles } = await import('@huggingface/hub');
      const files: HubFile[] = [];
      for await (const entry of listFiles({
        ...watched,
        repo: repository,
        revision: commit,
        recursive: true,
      })) {
        if (entry.type === 'file') files.push(this.toFile(entry));
        if (files.length > maxListedFiles)
          throw this.unexpected(`more than ${maxListedFiles} files in ${repository}`);
      }
      return files;
    });
  }

  /** Bytes of a file from `offset` on. Not through the chunk store: plain ranges resume and verify everywhere. */
  async open(commit: string, file: HubFile, offset: number): Promise<RemoteFile> {
    const watch = new RequestWatch();
    const explain = (error: unknown): Error => this.explainTransfer(watch, error);
    const { downloadFile } = await import('@huggingface/hub');
    try {
      const blob = await downloadFile({
        ...this.watched(watch),
        repo: this.context.reference.repository,
        path: file.path,
        revision: commit,
        xet: false,
      });
      if (blob === null) throw this.unexpected(`no content for the listed file ${file.path}`);
      if (blob.size !== file.byteLength) {
        throw this.unexpected(`${blob.size} bytes for ${file.path}, listed with ${file.byteLength}`);
      }
      return { stream: blob.slice(offset, blob.size).stream() as ReadableStream<Uint8Array>, explain };
    } catch (error) {
      this.options.signal?.throwIfAborted();
      throw explain(error);
    }
  }

  /** The final word on a transfer that was tried often enough. */
  giveUp(error: TransferInterrupted): BitsmithError {
    const refusal = error.cause instanceof TemporaryRefusal ? error.cause.refusal : null;
    return hubError(this.context, refusal, error);
  }

  private watched(watch: RequestWatch) {
    const { endpoint, token, signal } = this.options;
    return { hubUrl: endpoint, accessToken: token ?? undefined, fetch: watch.fetchWith(signal) };
  }

  /** Runs a metadata request; a busy server is asked again. */
  private async request<Result>(
    run: (watched: ReturnType<HubClient['watched']>) => Promise<Result>,
  ): Promise<Result> {
    const { signal, retryDelayMs } = this.options;
    for (let attempt = 1; ; attempt++) {
      const watch = new RequestWatch();
      try {
        return await run(this.watched(watch));
      } catch (error) {
        signal?.throwIfAborted();
        if (error instanceof BitsmithError) throw error;
        const busy = watch.refusal !== null && isTemporary(watch.refusal);
        if (!busy || attempt === maxMetadataAttempts) throw this.explainRequest(watch, error);
        await pause(Math.max(watch.retryAfterMs, retryDelayMs * 2 ** (attempt - 1)), signal);
      }
    }
  }

  private explainRequest(watch: RequestWatch, error: unknown): BitsmithError {
    if (watch.refusal === null && watch.failure === null) {
      return error instanceof TypeError && /access token/i.test(error.message)
        ? this.tokenMalformed(error)
        : this.unexpected(error instanceof Error ? error.message : String(error));
    }
    return hubError(this.context, watch.refusal, watch.failure ?? error);
  }

  private explainTransfer(watch: RequestWatch, error: unknown): Error {
    if (error instanceof BitsmithError) return error;
    if (watch.rangeIgnored) {
      return new TransferInterrupted('the server does not continue files', { resumable: false });
    }
    if (watch.refusal !== null && !isTemporary(watch.refusal))
      return hubError(this.context, watch.refusal, error);
    const cause = watch.refusal === null ? (watch.failure ?? error) : new TemporaryRefusal(watch.refusal);
    return new TransferInterrupted('the connection ended early', { resumable: true, cause });
  }

  private tokenMalformed(cause: TypeError): BitsmithError {
    return new BitsmithError('authentication', 'HUB_TOKEN_REFUSED', 'this is not a token of the Hub', {
      expected: "a token that starts with 'hf_'",
      found: 'another text in HF_TOKEN or --token',
      suggestion: `Take one from ${this.options.endpoint}/settings/tokens, or unset HF_TOKEN.`,
      cause,
    });
  }

  private unexpected(found: string): BitsmithError {
    return new BitsmithError(
      'general',
      'HUB_UNEXPECTED_ANSWER',
      `${this.options.endpoint} does not answer as a Hub does`,
      {
        found,
        suggestion: 'Check HF_ENDPOINT, or try again later.',
      },
    );
  }

  private toFile(entry: {
    path: string;
    size: number;
    oid?: string;
    lfs?: { oid: string; size: number };
  }): HubFile {
    const byteLength = entry.lfs?.size ?? entry.size;
    if (typeof entry.path !== 'string' || !Number.isSafeInteger(byteLength) || byteLength < 0) {
      throw this.unexpected('a listed file without a path or size');
    }
    const sha256 = entry.lfs === undefined ? null : hexOrNull(entry.lfs.oid.replace(/^sha256:/, ''), [64]);
    return {
      path: entry.path,
      byteLength,
      sha256,
      gitOid: entry.lfs === undefined ? hexOrNull(entry.oid, [40, 64]) : null,
    };
  }
}

/** Waits; rejects with the signal's reason when it is aborted. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await delay(milliseconds, undefined, { signal }).catch(() => signal?.throwIfAborted());
}

class TemporaryRefusal extends Error {
  readonly refusal: HubRefusal;

  constructor(refusal: HubRefusal) {
    super(`HTTP status ${refusal.status}`);
    this.refusal = refusal;
  }
}

function hexOrNull(text: string | undefined, lengths: readonly number[]): string | null {
  return text !== undefined && lengths.includes(text.length) && /^[0-9a-f]+$/.test(text) ? text : null;
}
