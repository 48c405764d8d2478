/** @file What equalizing did, without the scales themselves: a model has as many of them as it has channels. */
import type { SiteScales } from './choose.js';
import type { Equalization } from './equalize.js';

export interface EqualizationReport extends Omit<Equalization, 'sites'> {
  /** Every input that matrices share, in the order of the blocks. */
  readonly sites: readonly Omit<SiteScales, 'scales'>[];
}

export function equalizationReport(equalization: Equalization): EqualizationReport;
export function equalizationReport(equalization: Equalization | null): EqualizationReport | null;
export function equalizationReport(equalization: Equalization | null): EqualizationReport | null {
  return equalization === null
    ? null
    : { ...equalization, sites: equalization.sites.map((site) => withoutScales(site)) };
}

function withoutScales(site: SiteScales): Omit<SiteScales, 'scales'> {
  const { scales: _, ...rest } = site;
  return rest;
}
