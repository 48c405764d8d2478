/** @file A Hub on 127.0.0.1: the routes that the Hub's client asks for, with a second server for large files, and faults to order. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export const commit = '0123456789abcdef0123456789abcdef01234567';
export const token = 'hf_test';

export interface Served {
  readonly bytes: Buffer;
  readonly lfs?: boolean;
  /** A hash to announce instead of the true one. */
  readonly announcedHash?: string;
  readonly announcedSize?: number;
}

export interface Seen {
  readonly server: 'hub' | 'storage';
  readonly path: string;
  readonly range: string | null;
  readonly authorization: string | null;
}

export class LocalHub {
  readonly files = new Map<string, Served>();
  readonly seen: Seen[] = [];
  needsToken = false;
  gated = false;
  pageSize = 1000;
  /** Cut the connection after so many bytes of content, once for each entry. */
  readonly cutAfter: number[] = [];
  /** Answer content with these statuses first, one for each request. */
  readonly contentStatuses: number[] = [];
  readonly metadataStatuses: number[] = [];
  ignoresRange = false;
  private known: string | undefined;
  private readonly hub: Server;
  private readonly storage: Server;

  private constructor() {
    this.hub = createServer((request, response) => this.onHub(request, response));
    this.storage = createServer((request, response) => this.onStorage(request, response));
  }

  static async start(): Promise<LocalHub> {
    const local = new LocalHub();
    for (const server of [local.hub, local.storage]) {
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    }
    return local;
  }

  async stop(): Promise<void> {
    for (const server of [this.hub, this.storage]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  get endpoint(): string {
    this.known ??= address(this.hub);
    return this.known;
  }

  add(path: string, content: string | Buffer, extra: Partial<Served> = {}): void {
    this.files.set(path, { bytes: Buffer.from(content), ...extra });
  }

  /** Requests for content from beyond the first byte or in full, `Range` probes left out. */
  contentRequests(path: string): Seen[] {
    return this.seen.filter(
      (one) => one.path.endsWith(path) && one.range !== 'bytes=0-0' && !one.path.includes('/api/'),
    );
  }

  private onHub(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', this.endpoint);
    this.remember('hub', request, url);
    const [, kind, ...rest] = decodeURIComponent(url.pathname).split('/');
    const repository = kind === 'api' ? rest.slice(1, 3).join('/') : [kind, rest[0]].join('/');
    if (this.needsToken && request.headers.authorization !== `Bearer ${token}`) {
      return refuse(response, 401, request.headers.authorization === undefined ? 'RepoNotFound' : null);
    }
    if (repository !== 'acme/tiny') return refuse(response, 404, 'RepoNotFound');
    if (kind === 'api') return this.onApi(rest[3], rest.slice(4).join('/'), url, response);
    return this.onResolve(rest.slice(3).join('/'), request, response);
  }

  private onApi(route: string, revision: string, url: URL, response: ServerResponse): void {
    const status = this.metadataStatuses.shift();
    if (status !== undefined) return refuse(response, status, null);
    if (!['main', 'refs/pr/1', commit].includes(revision)) return refuse(response, 404, 'RevisionNotFound');
    if (route === 'revision') {
      return json(response, { _id: '1', id: 'acme/tiny', sha: commit, lastModified: '2024-01-01', likes: 0 });
    }
    const cursor = Number(url.searchParams.get('cursor') ?? 0);
    const entries = [...this.files].map(([path, file]) => this.entry(path, file));
    const next = new URL(url);
    next.searchParams.set('cursor', String(cursor + this.pageSize));
    if (cursor + this.pageSize < entries.length) response.setHeader('Link', `<${next.href}>; rel="next"`);
    return json(response, [
      { type: 'directory', path: 'folder', size: 0 },
      ...entries.slice(cursor, cursor + this.pageSize),
    ]);
  }

  private entry(path: string, file: Served): object {
    const size = file.announcedSize ?? file.bytes.byteLength;
    const oid = createHash('sha1').update(`blob ${file.bytes.byteLength}\0`).update(file.bytes).digest('hex');
    if (file.lfs !== true) return { type: 'file', path, size, oid: file.announcedHash ?? oid };
    return {
      type: 'file',
      path,
      size,
      oid,
      lfs: { oid: file.announcedHash ?? sha256(file.bytes), size, pointerSize: 130 },
    };
  }

  private onResolve(path: string, request: IncomingMessage, response: ServerResponse): void {
    if (this.gated) return refuse(response, 403, 'GatedRepo');
    const file = this.files.get(path);
    if (file === undefined) return refuse(response, 404, 'EntryNotFound');
    if (file.lfs !== true) return this.sendContent(file, request, response);
    response.setHeader('Location', `${address(this.storage)}/blobs/${encodeURIComponent(path)}`);
    response.writeHead(302).end();
  }

  private onStorage(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '/', address(this.storage));
    this.remember('storage', request, url);
    const file = this.files.get(decodeURIComponent(url.pathname).replace('/blobs/', ''));
    if (file === undefined) return refuse(response, 404, null);
    return this.sendContent(file, request, response);
  }

  private sendContent(file: Served, request: IncomingMessage, response: ServerResponse): void {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
    const probe = request.headers.range === 'bytes=0-0';
    const status = probe ? undefined : this.contentStatuses.shift();
    if (status !== undefined) return refuse(response, status, null);
    response.setHeader('ETag', `"${sha256(file.bytes)}"`);
    const whole = range === null || (this.ignoresRange && !probe);
    const start = whole ? 0 : Number(range[1]);
    const end = whole ? file.bytes.byteLength : Number(range[2]) + 1;
    const body = file.bytes.subarray(start, end);
    const total = file.announcedSize ?? file.bytes.byteLength;
    if (!whole) response.setHeader('Content-Range', `bytes ${start}-${end - 1}/${total}`);
    const cut = probe ? undefined : this.cutAfter.shift();
    response.writeHead(whole ? 200 : 206, { 'Content-Length': String(body.byteLength) });
    if (cut === undefined) return void response.end(body);
    response.write(body.subarray(0, cut), () => setTimeout(() => response.destroy(), 20));
  }

  private remember(server: Seen['server'], request: IncomingMessage, url: URL): void {
    this.seen.push({
      server,
      path: decodeURIComponent(url.pathname),
      range: request.headers.range ?? null,
      authorization: request.headers.authorization ?? null,
    });
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function address(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function json(response: ServerResponse, body: unknown): void {
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, code: string | null): void {
  if (code !== null) response.setHeader('X-Error-Code', code);
  response.setHeader('Content-Type', 'application/json');
  response.writeHead(status).end(JSON.stringify({ error: `refused with ${status}` }));
}
