import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { BitsmithError } from '@bitsmith/formats';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  downloadFromHub,
  type HubDownload,
  type HubDownloadOptions,
  isHubId,
  parseHubId,
} from '../../src/model/hub.js';
import type { RunEvent } from '../../src/run/events.js';
import { ArtifactStore } from '../../src/run/store.js';
import { openModel } from '../../src/model/open.js';
import { finish } from '../../src/run/work.js';
import { commit, LocalHub, token } from './local-hub.js';

let hub: LocalHub;
let store: string;

beforeEach(async () => {
  hub = await LocalHub.start();
  store = await mkdtemp(path.join(os.tmpdir(), 'bitsmith-hub-'));
});

afterEach(async () => {
  await hub.stop();
  await rm(store, { recursive: true, force: true });
});

interface Outcome {
  readonly result: HubDownload;
  readonly events: RunEvent[];
}

async function download(id = 'acme/tiny', extra: Partial<HubDownloadOptions> = {}): Promise<Outcome> {
  const events: RunEvent[] = [];
  const work = downloadFromHub(id, { store, endpoint: hub.endpoint, retryDelayMs: 5, ...extra });
  for (;;) {
    const step = await work.next();
    if (step.done) return { result: step.value, events };
    events.push(step.value);
  }
}

async function failure(promise: Promise<unknown>): Promise<BitsmithError> {
  const error: unknown = await promise.then(
    () => new Error('expected a failure'),
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(BitsmithError);
  return error as BitsmithError;
}

function addFolder(weights: Buffer): void {
  hub.add('config.json', '{"architectures":["LlamaForCausalLM"]}');
  hub.add('tokenizer.json', '{}');
  hub.add('tokenizer.model', randomBytes(5000), { lfs: true });
  hub.add('README.md', '# Tiny');
  hub.add('.gitattributes', '* lfs');
  hub.add('pytorch_model.bin', randomBytes(100), { lfs: true });
  hub.add('onnx/model.onnx', randomBytes(100), { lfs: true });
  hub.add('model.safetensors', weights, { lfs: true });
}

describe('a Hub id', () => {
  it.each([
    ['acme/tiny', { repository: 'acme/tiny', revision: 'main', file: null }],
    ['acme/tiny@v1.0', { repository: 'acme/tiny', revision: 'v1.0', file: null }],
    ['acme/tiny@refs/pr/1', { repository: 'acme/tiny', revision: 'refs/pr/1', file: null }],
    ['acme/tiny:Q4_K_M', { repository: 'acme/tiny', revision: 'main', file: 'Q4_K_M' }],
    ['acme/ti.ny_1@dev:sub/m.gguf', { repository: 'acme/ti.ny_1', revision: 'dev', file: 'sub/m.gguf' }],
  ])('%s is read as organisation, name, revision and file', (id, expected) => {
    expect(isHubId(id)).toBe(true);
    expect(parseHubId(id)).toEqual(expected);
  });

  it.each([
    'model.gguf',
    'folder/model.gguf',
    './acme/tiny',
    '../acme/tiny',
    '/acme/tiny',
    'acme/tiny/more',
    'acme/..',
    'acme/a..b',
    'acme/tiny@../x',
    'acme/tiny:../x.gguf',
    'C:\\acme/tiny',
    'C:/tiny',
    'acme/-tiny',
    '',
  ])('%j is not one', (id) => {
    expect(isHubId(id)).toBe(false);
    expect(() => parseHubId(id)).toThrow(expect.objectContaining({ code: 'HUB_ID_INVALID', exitCode: 2 }));
  });

  it('yields to a folder of that name', async () => {
    await mkdir(path.join(store, 'acme/tiny'), { recursive: true });
    const before = process.cwd();
    process.chdir(store);
    try {
      expect(isHubId('acme/tiny')).toBe(false);
      expect(isHubId('acme/other')).toBe(true);
    } finally {
      process.chdir(before);
    }
  });
});

describe('a download', () => {
  it('takes configuration, tokenizer and safetensors, and nothing else, exactly', async () => {
    const weights = randomBytes(300_000);
    addFolder(weights);
    hub.pageSize = 3;
    const { result, events } = await download();
    expect(result.commit).toBe(commit);
    expect(result.folder).toBe(path.join(store, 'hub/acme/tiny', commit, 'tiny'));
    expect(result.path).toBe(result.folder);
    expect((await readdir(result.folder)).sort()).toEqual([
      'README.md',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer.model',
    ]);
    expect(weights.equals(await readFile(path.join(result.folder, 'model.safetensors')))).toBe(true);
    expect(events[0]).toMatchObject({ type: 'stage-start', stage: 'download' });
    const progress = events.filter((event) => event.type === 'progress');
    expect(progress.at(-1)).toMatchObject({ unit: 'bytes', item: 'model.safetensors' });
    expect(progress.at(-1)?.done).toBe(progress.at(-1)?.total);
    expect(events.at(-1)).toMatchObject({
      type: 'stage-end',
      cached: false,
      summary: expect.stringMatching(/^5 files, /),
    });
  });

  it('asks for no content the second time, and for nothing at all when the commit is named', async () => {
    addFolder(randomBytes(1000));
    await download();
    hub.seen.length = 0;
    const second = await download();
    expect(second.events.at(-1)).toMatchObject({ type: 'stage-end', cached: true });
    expect(hub.seen.filter(({ path: asked }) => asked.includes('/resolve/'))).toEqual([]);
    await download(`acme/tiny@${commit}`);
    hub.seen.length = 0;
    await download(`acme/tiny@${commit}`);
    expect(hub.seen).toEqual([]);
  });

  it('takes the shards that the index names, not their neighbours', async () => {
    hub.add('config.json', '{}');
    hub.add('consolidated.safetensors', randomBytes(50), { lfs: true });
    for (const shard of ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors']) {
      hub.add(shard, randomBytes(2000), { lfs: true });
    }
    const map = { a: 'model-00002-of-00002.safetensors', b: 'model-00001-of-00002.safetensors' };
    hub.add('model.safetensors.index.json', JSON.stringify({ weight_map: map }));
    const { result } = await download();
    expect(result.files.map((file) => path.basename(file))).toEqual([
      'config.json',
      'model.safetensors.index.json',
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
    ]);
  });

  it('takes the one GGUF of a repository without safetensors', async () => {
    hub.add('README.md', 'x');
    hub.add('mmproj-tiny.gguf', randomBytes(100), { lfs: true });
    hub.add('tiny.gguf', randomBytes(3000), { lfs: true });
    const { result } = await download();
    expect(result.path).toBe(path.join(result.folder, 'tiny.gguf'));
    expect(result.files).toEqual([result.path]);
  });

  it('takes a named GGUF with all of its splits', async () => {
    hub.add('model.safetensors', randomBytes(10), { lfs: true });
    hub.add('Q8_0/t-00002-of-00002.gguf', randomBytes(400), { lfs: true });
    hub.add('Q8_0/t-00001-of-00002.gguf', randomBytes(500), { lfs: true });
    hub.add('t-Q4_K_M.gguf', randomBytes(300), { lfs: true });
    const split = await download('acme/tiny:Q8_0');
    expect(split.result.path).toBe(path.join(split.result.folder, 'Q8_0/t-00001-of-00002.gguf'));
    expect(split.result.files).toHaveLength(2);
    const exact = await download('acme/tiny:t-Q4_K_M.gguf');
    expect(exact.result.files).toEqual([path.join(exact.result.folder, 't-Q4_K_M.gguf')]);
  });

  it('is known to the store, and kept as long as runs use it', async () => {
    addFolder(randomBytes(1000));
    const { result } = await download();
    const old = new Date(2020, 0, 1);
    for (const file of result.files) await utimes(file, old, old);
    const artifacts = await ArtifactStore.open(store);
    expect(
      (await artifacts.list()).filter(({ lastUsed }) => lastUsed <= old).map(({ kind }) => kind),
    ).toEqual(result.files.map(() => 'download'));
    await download();
    expect(await artifacts.collect(new Date(2021, 0, 1))).toEqual([]);
    expect(await artifacts.collect(new Date(Date.now() + 1000))).toHaveLength(result.files.length + 1);
    expect((await download()).events.at(-1)).toMatchObject({ type: 'stage-end', cached: false });
  });

  it('is opened like a folder, under its own name', async () => {
    const folder = fileURLToPath(new URL('../../../../models/orator-8m', import.meta.url));
    for (const name of await readdir(folder)) {
      hub.add(name, await readFile(path.join(folder, name)), { lfs: name.endsWith('.safetensors') });
    }
    process.env['HF_ENDPOINT'] = hub.endpoint;
    try {
      const model = await finish(openModel('acme/tiny', { store: await ArtifactStore.open(store) }));
      expect(model).toMatchObject({
        location: 'acme/tiny',
        architecture: 'llama',
        parameterCount: 8_392_960,
      });
      expect(model.name).toBe('Tiny');
    } finally {
      delete process.env['HF_ENDPOINT'];
    }
  });

  it('follows another revision', async () => {
    addFolder(randomBytes(100));
    await download('acme/tiny@refs/pr/1');
    expect(hub.seen[0].path).toBe('/api/models/acme/tiny/revision/refs/pr/1');
  });
});

describe('an interruption', () => {
  it('in one run is continued with a Range request', async () => {
    const weights = randomBytes(400_000);
    hub.add('model.safetensors', weights, { lfs: true });
    hub.cutAfter.push(150_000);
    const { result, events } = await download();
    expect(weights.equals(await readFile(result.files[0]))).toBe(true);
    const ranges = hub.contentRequests('model.safetensors').filter(({ server }) => server === 'storage');
    expect(ranges.map(({ range }) => range)).toEqual([null, 'bytes=150000-399999']);
    expect(events).toContainEqual(expect.objectContaining({ type: 'note', level: 'verbose' }));
  });

  it('by the user is continued by the next run', async () => {
    const weights = randomBytes(3_000_000);
    hub.add('model.safetensors', weights, { lfs: true });
    const reason = new BitsmithError('cancelled', 'CANCELLED', 'stopped');
    const abort = new AbortController();
    const work = downloadFromHub('acme/tiny', { store, endpoint: hub.endpoint, signal: abort.signal });
    const error = await failure(
      (async () => {
        for await (const event of work) if (event.type === 'progress') abort.abort(reason);
      })(),
    );
    expect(error).toBe(reason);
    const folder = path.join(store, 'hub/acme/tiny', commit, 'tiny');
    expect(await readdir(folder)).toEqual(['model.safetensors.partial']);
    const kept = (await readFile(path.join(folder, 'model.safetensors.partial'))).byteLength;
    expect(kept).toBeGreaterThan(0);
    hub.seen.length = 0;
    const { result } = await download();
    expect(weights.equals(await readFile(result.files[0]))).toBe(true);
    expect(hub.contentRequests('model.safetensors')[0].range).toBe(`bytes=${kept}-2999999`);
    expect(await readdir(folder)).toEqual(['model.safetensors']);
  });

  it('that left damaged bytes is noticed, and the file fetched whole', async () => {
    const weights = randomBytes(50_000);
    hub.add('model.safetensors', weights, { lfs: true });
    const folder = path.join(store, 'hub/acme/tiny', commit, 'tiny');
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, 'model.safetensors.partial'), randomBytes(20_000));
    const { result } = await download();
    expect(weights.equals(await readFile(result.files[0]))).toBe(true);
  });

  it('restarts where the server does not continue files', async () => {
    const weights = randomBytes(50_000);
    hub.add('model.safetensors', weights, { lfs: true });
    hub.ignoresRange = true;
    hub.cutAfter.push(20_000);
    const { result } = await download();
    expect(weights.equals(await readFile(result.files[0]))).toBe(true);
  });

  it('by a busy server is waited for', async () => {
    addFolder(randomBytes(100));
    hub.metadataStatuses.push(503, 429);
    hub.contentStatuses.push(503);
    await download();
  });

  it('again and again ends with what to do', async () => {
    hub.add('model.safetensors', randomBytes(50_000), { lfs: true });
    hub.cutAfter.push(10, 10, 10, 10, 10);
    const error = await failure(download());
    expect(error).toMatchObject({ kind: 'general', code: 'HUB_UNREACHABLE' });
    expect(error.suggestion).toContain('run the same command again');
  });
});

describe('a token', () => {
  it('is asked for when a model needs one', async () => {
    hub.needsToken = true;
    const error = await failure(download());
    expect(error).toMatchObject({ kind: 'authentication', code: 'HUB_TOKEN_REQUIRED', exitCode: 4 });
    expect(error.suggestion).toContain('HF_TOKEN');
  });

  it('goes to the Hub and never to the storage it redirects to', async () => {
    addFolder(randomBytes(1000));
    hub.needsToken = true;
    await download('acme/tiny', { token });
    const storage = hub.seen.filter(({ server }) => server === 'storage');
    expect(storage.length).toBeGreaterThan(0);
    expect(storage.every(({ authorization }) => authorization === null)).toBe(true);
    expect(hub.seen.filter(({ server }) => server === 'hub').every((one) => one.authorization !== null)).toBe(
      true,
    );
  });

  it('is taken from HF_TOKEN', async () => {
    addFolder(randomBytes(10));
    hub.needsToken = true;
    process.env['HF_TOKEN'] = token;
    try {
      await download();
    } finally {
      delete process.env['HF_TOKEN'];
    }
  });

  it('that is refused is said to be', async () => {
    hub.needsToken = true;
    expect(await failure(download('acme/tiny', { token: 'hf_other' }))).toMatchObject({
      code: 'HUB_TOKEN_REFUSED',
      exitCode: 4,
    });
    expect(await failure(download('acme/tiny', { token: 'nonsense' }))).toMatchObject({
      code: 'HUB_TOKEN_REFUSED',
      exitCode: 4,
    });
  });

  it('of an account that did not accept the terms leads to the terms', async () => {
    addFolder(randomBytes(10));
    hub.gated = true;
    const error = await failure(download('acme/tiny', { token }));
    expect(error).toMatchObject({ code: 'HUB_GATED', exitCode: 4 });
    expect(error.suggestion).toContain(`${hub.endpoint}/acme/tiny`);
  });
});

describe('a repository that cannot be used', () => {
  it.each([
    ['acme/other', 'HUB_MODEL_NOT_FOUND', 3],
    ['acme/tiny@nowhere', 'HUB_REVISION_NOT_FOUND', 3],
    ['acme/tiny:Q4_K_M', 'HUB_FILE_NOT_FOUND', 3],
  ])('%s -> %s', async (id, code, exitCode) => {
    hub.add('config.json', '{}');
    expect(await failure(download(id))).toMatchObject({ code, exitCode });
  });

  it('without usable weights says what it has', async () => {
    hub.add('pytorch_model.bin', 'x');
    expect(await failure(download())).toMatchObject({
      code: 'HUB_NO_WEIGHTS',
      exitCode: 8,
      found: 'pytorch_model.bin',
    });
  });

  it('with several GGUFs asks for one by name', async () => {
    hub.add('a-Q4_K_M.gguf', 'x');
    hub.add('a-Q5_K_M.gguf', 'x');
    const error = await failure(download());
    expect(error).toMatchObject({
      code: 'HUB_FILE_AMBIGUOUS',
      exitCode: 2,
      found: 'a-Q4_K_M.gguf, a-Q5_K_M.gguf',
    });
    expect(error.suggestion).toBe('Name one, for example acme/tiny:a-Q4_K_M.gguf');
    expect(await failure(download('acme/tiny:K_M'))).toMatchObject({ code: 'HUB_FILE_AMBIGUOUS' });
  });

  it('with a missing part or shard says which', async () => {
    hub.add('a-00001-of-00003.gguf', 'x');
    expect(await failure(download())).toMatchObject({ code: 'HUB_SPLIT_INCOMPLETE', exitCode: 6 });
    hub.add('model.safetensors.index.json', '{"weight_map":{"a":"../../x.safetensors"}}');
    expect(await failure(download())).toMatchObject({ code: 'HUB_SHARD_MISSING', exitCode: 6 });
    hub.add('model.safetensors.index.json', '[]');
    await rm(store, { recursive: true, force: true });
    expect(await failure(download())).toMatchObject({ code: 'HUB_INDEX_INVALID', exitCode: 6 });
  });

  it.each(['../evil.safetensors', 'a/../../evil', '/etc/evil', 'a\\..\\evil', 'C:evil', 'a//b', './a'])(
    'lists the unsafe name %j and is refused before anything is written',
    async (name) => {
      addFolder(randomBytes(10));
      hub.add(name, 'x');
      expect(await failure(download())).toMatchObject({ code: 'HUB_PATH_UNSAFE', exitCode: 6 });
      expect(await readdir(store)).toEqual([]);
    },
  );

  it.each([
    { lfs: true, announcedHash: 'a'.repeat(64) },
    { lfs: false, announcedHash: 'b'.repeat(40) },
  ])('sends other content than it lists ($lfs): refused, and nothing kept', async (extra) => {
    hub.add('model.safetensors', randomBytes(10_000), extra);
    const error = await failure(download());
    expect(error).toMatchObject({ code: 'HUB_HASH_MISMATCH', exitCode: 6 });
    expect(error.expected).toContain(extra.announcedHash);
    expect(await readdir(path.join(store, 'hub/acme/tiny', commit, 'tiny'))).toEqual([]);
  });
});

describe('the world around', () => {
  it('an unreachable Hub', async () => {
    const { endpoint } = hub;
    await hub.stop();
    const error = await failure(download('acme/tiny', { endpoint }));
    expect(error).toMatchObject({ code: 'HUB_UNREACHABLE', exitCode: 1 });
    expect(error.message).toContain('ECONNREFUSED');
  });

  it('an unreachable Hub and a model from before', async () => {
    addFolder(randomBytes(10));
    const first = await download();
    const { endpoint } = hub;
    await hub.stop();
    const second = await download('acme/tiny', { endpoint });
    expect(second.result).toEqual(first.result);
    expect(second.events).toContainEqual(expect.objectContaining({ type: 'note', level: 'warning' }));
  });

  it('HF_ENDPOINT', async () => {
    addFolder(randomBytes(10));
    process.env['HF_ENDPOINT'] = `${hub.endpoint}/`;
    try {
      await download('acme/tiny', { endpoint: undefined });
      process.env['HF_ENDPOINT'] = 'nowhere';
      expect(await failure(download('acme/tiny', { endpoint: undefined }))).toMatchObject({
        code: 'HUB_ENDPOINT_INVALID',
      });
    } finally {
      delete process.env['HF_ENDPOINT'];
    }
  });

  it('a disk too small is noticed before anything is downloaded', async () => {
    hub.add('model.safetensors', 'x', { lfs: true, announcedSize: 2 ** 52 });
    expect(await failure(download())).toMatchObject({ code: 'DISK_FULL', exitCode: 5 });
    expect(hub.contentRequests('model.safetensors')).toEqual([]);
  });

  it.runIf(process.platform === 'linux')('a disk that fills up', async () => {
    hub.add('model.safetensors', randomBytes(10_000), { lfs: true });
    const folder = path.join(store, 'hub/acme/tiny', commit, 'tiny');
    await mkdir(folder, { recursive: true });
    await symlink('/dev/full', path.join(folder, 'model.safetensors.partial'));
    expect(await failure(download())).toMatchObject({ code: 'DISK_FULL', exitCode: 5 });
  });

  it('a signal that is already aborted', async () => {
    const reason = new Error('no');
    await expect(download('acme/tiny', { signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(hub.seen).toEqual([]);
  });
});
