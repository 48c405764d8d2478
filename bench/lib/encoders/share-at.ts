/** @file Which share of the bytes has a given loss, between plans of shares that were measured. */

/** What a plan of this share of the bytes loses. */
export interface SharePoint {
  readonly share: number;
  readonly klNats: number;
}

/**
 * The largest share in which `klNats` is lost: between two plans a straight line in the logarithm of the loss; the outermost share
 * where all plans lose less, or all more.
 * @param points from the largest share down
 */
export function shareAt(points: readonly SharePoint[], klNats: number): number {
  const at = points.findIndex((point) => point.klNats >= klNats);
  if (at < 0) return points[points.length - 1].share;
  if (at === 0) return points[0].share;
  const [above, under] = [points[at - 1], points[at]];
  const way = Math.log(klNats / above.klNats) / Math.log(under.klNats / above.klNats);
  return above.share + way * (under.share - above.share);
}
