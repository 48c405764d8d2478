import { describe, expect, it } from 'vitest';
import { tiedTensors } from '../../src/model/tied.js';
import { applyLocks, parseLock } from '../../src/plan/locks.js';
import { smallLlama, tensorOf } from './models.js';

const tensors = smallLlama(12);
const apply = (...locks: string[]) => applyLocks(locks.map(parseLock), tensors);
const refused = (code: string, message: RegExp, suggestion?: RegExp) =>
  expect.objectContaining({
    kind: 'plan',
    code,
    message: expect.stringMatching(message),
    ...(suggestion === undefined ? {} : { suggestion: expect.stringMatching(suggestion) }),
  });

describe('locks', () => {
  it('search the pattern in the names', () => {
    const locked = apply('attn_v=q6_k');
    expect(locked.size).toBe(12);
    expect(locked.get('blk.11.attn_v.weight')).toEqual({ scheme: 'Q6_K', text: 'attn_v=q6_k' });
  });

  it('may be anchored, and leave norms alone when they match more', () => {
    expect([...apply(String.raw`^blk\.1\.=Q8_0`).keys()]).toEqual([
      'blk.1.attn_q.weight',
      'blk.1.attn_k.weight',
      'blk.1.attn_v.weight',
      'blk.1.attn_output.weight',
      'blk.1.ffn_gate.weight',
      'blk.1.ffn_up.weight',
      'blk.1.ffn_down.weight',
    ]);
  });

  it('can keep tensors as they are stored, in any type', () => {
    expect(apply('^output=keep').get('output.weight')?.scheme).toBe('BF16');
    expect(apply('^output=F32').get('output.weight')?.scheme).toBe('F32');
  });

  it('take the last = as the divider', () => {
    expect(parseLock('(?=attn_v)=Q6_K')).toMatchObject({ pattern: /(?=attn_v)/, scheme: 'Q6_K' });
  });

  it('may agree', () => {
    expect(apply('attn_v=Q6_K', 'blk.3.attn_v=Q6_K').size).toBe(12);
  });

  it.each(['attn_v', '=Q6_K', 'attn_v=', '(=Q6_K', '', '='])('refuse %j', (text) => {
    expect(() => parseLock(text)).toThrowError(refused('LOCK_MALFORMED', /expected REGEX=SCHEME/));
  });

  it('suggest the nearest scheme', () => {
    expect(() => apply('attn_v=Q6K')).toThrowError(
      refused(
        'SCHEME_UNKNOWN',
        /^lock 'attn_v=Q6K': expected a scheme, found "Q6K"$/,
        /^Did you mean Q6_K or .*IQ3_S/,
      ),
    );
  });

  it('must match something', () => {
    expect(() => apply('attn_w=Q6_K')).toThrowError(
      refused('LOCK_MATCHES_NOTHING', /matches none of the 111 tensors/, /token_embd\.weight/),
    );
  });

  it('must match something that is quantized', () => {
    expect(() => apply('attn_norm=Q8_0')).toThrowError(
      refused(
        'LOCK_NOT_QUANTIZABLE',
        /only tensors that are never quantized: blk\.0\.attn_norm\.weight is a vector/,
      ),
    );
  });

  it('must fit the rows', () => {
    const odd = [tensorOf('blk.0.attn_q.weight', 'F32', 96, 96)];
    expect(() => applyLocks([parseLock('attn_q=Q4_K')], odd)).toThrowError(
      refused(
        'SCHEME_ILLEGAL',
        /Q4_K stores rows of a multiple of 256 weights, but .* has rows of 96/,
        /MXFP4, IQ4_NL, Q4_0/,
      ),
    );
    expect(applyLocks([parseLock('attn_q=Q4_0')], odd).size).toBe(1);
  });

  it('must not contradict each other', () => {
    expect(() => apply('attn=Q4_K', 'attn_v=Q6_K')).toThrowError(
      refused(
        'LOCK_CONFLICT',
        /'attn=Q4_K' and 'attn_v=Q6_K' both match blk\.0\.attn_v\.weight, and ask for Q4_K and Q6_K/,
      ),
    );
  });

  it('mean the one tensor, by either name, where the output head is tied to the embedding', () => {
    const tied = tensors.filter(({ name }) => name !== 'output.weight');
    const [tie] = tiedTensors({ architecture: 'llama', metadata: new Map(), tensors: tied });
    const applied = (...locks: string[]) => applyLocks(locks.map(parseLock), tied, [tie]);
    expect([...applied('^output.weight=Q8_0')]).toEqual([
      ['token_embd.weight', { scheme: 'Q8_0', text: '^output.weight=Q8_0' }],
    ]);
    expect(applied('^output.weight=Q8_0', 'token_embd=Q8_0').size).toBe(1);
    expect(() => applied('token_embd=Q6_K', '^output.weight=Q8_0')).toThrowError(
      refused(
        'TIED_LOCKED_APART',
        /^locks 'token_embd=Q6_K' and '\^output.weight=Q8_0' ask for token_embd.weight in Q6_K and output.weight in Q8_0, but the model stores both as one tensor, token_embd.weight$/,
        /^Lock token_embd\.weight alone/,
      ),
    );
  });

  it('know tied heads from models that store both, or have no head', () => {
    const tied = tensors.filter(({ name }) => name !== 'output.weight');
    expect(tiedTensors({ architecture: 'llama', metadata: new Map(), tensors })).toEqual([]);
    const metadata = new Map([['bert.attention.causal', { type: 'bool', value: false } as const]]);
    expect(tiedTensors({ architecture: 'bert', metadata, tensors: tied })).toEqual([]);
    expect(tiedTensors({ architecture: 't5encoder', metadata: new Map(), tensors: tied })).toEqual([]);
  });
});
