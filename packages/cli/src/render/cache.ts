/** @file What the artifact store holds, by kind. */
import type { StoredArtifact } from '@bitsmith/core';
import { renderTable } from './table.js';
import { Paint, type Terminal } from './terminal.js';
import { bytes, integer, plural } from './units.js';

const dayMs = 24 * 60 * 60 * 1000;

export function renderCache(
  home: string,
  artifacts: readonly StoredArtifact[],
  now: Date,
  terminal: Terminal,
): string {
  const paint = new Paint(terminal);
  const total = artifacts.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const head = `${paint.bold(home)}  ${paint.dim(`${plural(artifacts.length, 'artifact')}, ${bytes(total)}`)}`;
  if (artifacts.length === 0) return `${head}\n`;
  const kinds = new Map<string, StoredArtifact[]>();
  for (const artifact of artifacts) kinds.set(artifact.kind, [...(kinds.get(artifact.kind) ?? []), artifact]);
  const rows = [...kinds].map(([kind, members]) => ({
    kind,
    members,
    size: members.reduce((sum, { byteLength }) => sum + byteLength, 0),
    last: Math.max(...members.map(({ lastUsed }) => lastUsed.getTime())),
  }));
  rows.sort((a, b) => b.size - a.size);
  const columns = [
    { title: 'kind', align: 'left' },
    { title: 'artifacts', align: 'right' },
    { title: 'size', align: 'right' },
    { title: 'last used', align: 'right' },
  ] as const;
  const cells = rows.map(({ kind, members, size, last }) => [
    kind,
    integer(members.length),
    bytes(size),
    ago(last, now),
  ]);
  const hint = paint.dim('  `bitsmith cache gc --older-than DAYS` deletes what no run has used for so long.');
  return `${head}\n\n${renderTable(columns, cells, terminal).join('\n')}\n\n${hint}\n`;
}

export function renderCollected(
  removed: readonly StoredArtifact[],
  options: { readonly dryRun: boolean; readonly olderThan: number },
): string {
  const total = removed.reduce((sum, { byteLength }) => sum + byteLength, 0);
  const what = `${plural(removed.length, 'artifact')}, ${bytes(total)}`;
  const age = options.olderThan === 0 ? '' : ` not used for ${plural(options.olderThan, 'day')}`;
  return options.dryRun ? `${what}${age} would be deleted\n` : `deleted ${what}${age}\n`;
}

function ago(time: number, now: Date): string {
  const days = Math.floor((now.getTime() - time) / dayMs);
  if (days < 1) return 'today';
  return `${plural(days, 'day')} ago`;
}
