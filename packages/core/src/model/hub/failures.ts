/** @file What the Hub and the network say, in the project's own errors. */
import { BitsmithError } from '@bitsmith/formats';
import type { HubReference } from './reference.js';

/** An answer of the Hub that is not a success. */
export interface HubRefusal {
  readonly status: number;
  /** The `X-Error-Code` header: RepoNotFound, GatedRepo, RevisionNotFound, EntryNotFound. */
  readonly code: string | null;
}

export interface HubContext {
  readonly endpoint: string;
  readonly reference: HubReference;
  readonly hasToken: boolean;
}

const temporaryStatus = new Set([408, 425, 429, 500, 502, 503, 504]);

/** True when the same request may succeed a little later. */
export function isTemporary(refusal: HubRefusal | null): boolean {
  return refusal === null || temporaryStatus.has(refusal.status);
}

/** @param refusal the answer, or null when there was none */
export function hubError(context: HubContext, refusal: HubRefusal | null, cause: unknown): BitsmithError {
  if (refusal === null) return unreachable(context, cause);
  if (refusal.code === 'GatedRepo') return gated(context, refusal, cause);
  if (refusal.status === 401 || refusal.status === 403) return denied(context, refusal, cause);
  if (refusal.status === 404) return missing(context, refusal, cause);
  return new BitsmithError(
    'general',
    'HUB_UNREACHABLE',
    `${context.endpoint} answered ${refusal.status} for ${context.reference.repository}`,
    {
      expected: 'the model',
      found: `HTTP status ${refusal.status}`,
      suggestion: 'Try again in a few minutes: what was downloaded is kept.',
      cause,
    },
  );
}

function unreachable({ endpoint, reference }: HubContext, cause: unknown): BitsmithError {
  return new BitsmithError(
    'general',
    'HUB_UNREACHABLE',
    `could not reach ${endpoint} for ${reference.repository}: ${networkReason(cause)}`,
    {
      suggestion:
        'Check the network (HF_ENDPOINT names another server) and run the same command again: what was downloaded is kept. ' +
        'A local folder or GGUF needs no network.',
      cause,
    },
  );
}

/** fetch hides the reason one or two causes deep. */
function networkReason(cause: unknown): string {
  let reason = 'no answer';
  for (let error = cause; error instanceof Error; error = error.cause) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error.message !== '') reason = error.message;
    else if (code !== undefined) reason = code;
  }
  return reason;
}

function gated(
  { endpoint, reference, hasToken }: HubContext,
  refusal: HubRefusal,
  cause: unknown,
): BitsmithError {
  const page = `${endpoint}/${reference.repository}`;
  return new BitsmithError(
    'authentication',
    'HUB_GATED',
    `${reference.repository} is gated: its terms must be accepted first`,
    {
      found: `HTTP status ${refusal.status}${hasToken ? '' : ', and no token was given'}`,
      suggestion: hasToken
        ? `Accept the terms on ${page} with the account that the token belongs to.`
        : `Accept the terms on ${page}, then set HF_TOKEN (or --token) to a token from ${endpoint}/settings/tokens.`,
      cause,
    },
  );
}

function denied(
  { endpoint, reference, hasToken }: HubContext,
  refusal: HubRefusal,
  cause: unknown,
): BitsmithError {
  const name = reference.repository;
  return new BitsmithError(
    'authentication',
    hasToken ? 'HUB_TOKEN_REFUSED' : 'HUB_TOKEN_REQUIRED',
    hasToken
      ? `the Hub refused the token for ${name}`
      : `'${name}' is neither on this machine nor public on ${endpoint}: it does not exist there, or needs a token`,
    {
      found: `HTTP status ${refusal.status}`,
      suggestion: hasToken
        ? `Check that the token is valid and may read ${name}: ${endpoint}/settings/tokens`
        : `Check the name or path; for a private model set HF_TOKEN (or --token) to a token from ${endpoint}/settings/tokens.`,
      cause,
    },
  );
}

function missing({ endpoint, reference }: HubContext, refusal: HubRefusal, cause: unknown): BitsmithError {
  const { repository, revision } = reference;
  if (refusal.code === 'RevisionNotFound') {
    return new BitsmithError(
      'model-not-found',
      'HUB_REVISION_NOT_FOUND',
      `${repository} has no revision '${revision}'`,
      {
        suggestion: `See its branches and tags on ${endpoint}/${repository}/tree/main`,
        cause,
      },
    );
  }
  return new BitsmithError(
    'model-not-found',
    'HUB_MODEL_NOT_FOUND',
    `'${repository}' is neither a file or folder on this machine nor a model on ${endpoint}`,
    { suggestion: 'Check the spelling of the path or of the Hub id (org/name).', cause },
  );
}
