/** @file What equalizing did to the channels of a model's inputs: by kind of input, the one that stood out most before and after. */
import type { EqualizationReport } from '@bitsmith/core';
import { section } from './section.js';
import { renderTable } from './table.js';
import { oneLine, type Terminal } from './terminal.js';
import { percent, plural } from './units.js';

type Site = EqualizationReport['sites'][number];

const kinds: Readonly<Record<Site['kind'], string>> = {
  'attention-input': 'queries, keys, values',
  'attention-output': 'attention output',
  'mlp-input': 'gate, up',
  'mlp-down': 'down',
};

export function equalizationLines(report: EqualizationReport | null, terminal: Terminal): string[] {
  if (report === null) return [];
  const columns = [
    { title: 'input of', align: 'left', flexible: true },
    { title: 'largest / median channel', align: 'right' },
    { title: 'now', align: 'right' },
    { title: 'output error', align: 'right' },
    { title: 'alpha', align: 'left' },
  ] as const;
  const rows = Object.entries(kinds).flatMap(([kind, label]) => {
    const sites = report.sites.filter((site) => site.kind === kind);
    if (sites.length === 0) return [];
    const most = (ratio: (site: Site) => number): string => Math.max(...sites.map(ratio)).toFixed(1);
    const [before, after] = [most(({ outliers }) => outliers.before), most(({ outliers }) => outliers.after)];
    return [[label, before, after, errorChange(sites), alphas(sites, terminal)]];
  });
  const how = report.mode.kind === 'search' ? `searched for ${report.mode.rounding.scheme}` : 'as given';
  const detail = `${how}, on ${report.text.tokens} tokens of ${oneLine(report.text.name)}; the function is the same`;
  return [section('Channels made alike', detail, terminal), ...renderTable(columns, rows, terminal)];
}

/** Over all blocks, where it was searched. */
function errorChange(sites: readonly Site[]): string {
  const errors = sites.flatMap(({ error }) => error ?? []);
  if (errors.length === 0) return '';
  const sum = (pick: 'before' | 'after'): number => errors.reduce((total, error) => total + error[pick], 0);
  return sum('before') > 0 ? percent(sum('after') / sum('before') - 1) : '';
}

function alphas(sites: readonly Site[], { unicode }: Terminal): string {
  const dash = unicode ? '–' : '-';
  const range = (family: string): string => {
    const found = sites.flatMap(({ rule }) => (rule?.family === family ? rule.alpha : []));
    if (found.length === 0) return '';
    const [low, high] = [Math.min(...found), Math.max(...found)];
    const values = low === high ? String(low) : `${low}${dash}${high}`;
    return family === 'aware' ? `${values} by activations alone` : values;
  };
  const left = sites.filter(({ rule }) => rule === null).length;
  const rest = left === 0 ? '' : plural(left, 'as it was', 'as they were');
  return [range('smooth'), range('aware'), rest].filter((text) => text !== '').join(', ');
}
