/** The early positions of a sequence have little context to lose: losses and labels begin behind them. */
export function firstScoredPosition(contextTokens: number): number {
  return Math.floor(contextTokens / 8);
}
