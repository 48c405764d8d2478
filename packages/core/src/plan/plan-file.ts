/**
 * @file Plans as YAML that a person can read, edit and share: one line a tensor. What is decided stands in the values; sizes,
 * losses and reasons stand in comments and are computed anew when the file is read, so an edited file needs no other care.
 */
import { Document, isScalar, YAMLMap } from 'yaml';
import type { Pair, Scalar } from 'yaml';
import { KEEP } from './named-scheme.js';
import { schemeNames } from './schemes.js';
import type { Plan, PlannedTensor } from './types.js';
import { formatCount, formatNats } from './units.js';

/** The version that is written, and the only one that is read. */
export const PLAN_FILE_VERSION = 1;

/** The plan as a file. The same plan gives the same bytes. */
export function writePlanFile(plan: Plan): string {
  const { source, budget, predicted, hash } = plan;
  const document = new Document({
    version: PLAN_FILE_VERSION,
    source: { name: source.name, sha256: source.sha256 },
    budget: { request: budget.request, bytes: budget.bytes },
    predicted: {
      bytes: predicted.bytes,
      klNats: predicted.klNats,
      klLowerBound: predicted.klLowerBound,
      gap: predicted.gap,
    },
    hash,
    tensors: new Map(plan.tensors.map(({ tensor, scheme }) => [tensor, scheme])),
  });
  document.commentBefore = heading();
  const lines = document.get('tensors') as YAMLMap<Scalar<string>, Scalar<string>>;
  for (const [index, tensor] of plan.tensors.entries()) commentOn(lines.items[index], tensor);
  return document.toString({ lineWidth: 0 });
}

function heading(): string {
  return [
    ' A Bitsmith plan: how every tensor of one model is stored.',
    ' Change the scheme behind a name and run it: bitsmith quantize MODEL --plan THIS_FILE',
    ' Only the schemes are read back; sizes, losses, the hash and the remarks are computed anew.',
    ` Schemes, smallest first: ${schemeNames}`,
    ` ${KEEP} leaves a tensor as the source stores it.`,
    ' Behind every tensor: its bytes, its predicted loss, what decided, and what the nearest scheme up and down would change.',
  ].join('\n');
}

function commentOn(
  line: Pair<Scalar<string>, Scalar<string>>,
  { bytes, klNats, reason }: PlannedTensor,
): void {
  const loss = klNats === null ? 'loss not measured' : `${formatNats(klNats)} nats`;
  if (isScalar(line.value))
    line.value.comment = ` ${formatCount(bytes)} bytes, ${loss}; ${reason.replaceAll(/\s+/g, ' ')}`;
}
