/** @file Profiles: those there are, and what one makes of a model. */
import type { ListedProfile, NamedProfile, ProfileFit } from '@bitsmith/core';
import { renderTable } from './table.js';
import { oneLine, Paint, type Terminal } from './terminal.js';
import { exactBytes, plural } from './units.js';

export function renderProfiles(
  profiles: readonly ListedProfile[],
  folder: string,
  terminal: Terminal,
): string {
  const paint = new Paint(terminal);
  const columns = [
    { title: 'profile', align: 'left' },
    { title: 'what it says', align: 'left' },
  ] as const;
  const rows = profiles.map((listed) => [
    listed.name,
    oneLine('problem' in listed ? `cannot be read: ${listed.problem}` : aboutOf(listed)),
  ]);
  const hint = paint.dim(`  Profiles of your own are kept in ${folder}`);
  return `${renderTable(columns, rows, terminal).join('\n')}\n\n${hint}\n`;
}

function aboutOf({ profile }: NamedProfile): string {
  const { about, ...rest } = profile;
  return about ?? Object.keys(rest).join(', ');
}

export function renderValidation(
  { name, path }: NamedProfile,
  fit: (ProfileFit & { readonly model: string }) | null,
): string {
  const sound = `${name}: sound${path === null ? '' : `  (${path})`}\n`;
  if (fit === null) return sound;
  const { model, locked, open, kept, data } = fit;
  const sizes = `${exactBytes(data.smallestBytes)} to ${exactBytes(data.largestBytes)} of weights`;
  return `${sound}on ${oneLine(model)}: ${plural(locked, 'tensor')} locked, ${open} open, ${kept} kept; ${sizes}\n`;
}
