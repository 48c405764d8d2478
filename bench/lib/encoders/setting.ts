/** @file What encoders are compared on: what plans are compared on, with the calibration text that encoders learn a model's inputs from. */
import {
  type Calibration,
  type EncoderMethod,
  loadCorpus,
  roundingStatistics,
  type RunContext,
  spreadChunks,
  type TokenizedText,
  tokenizeTexts,
  type Work,
} from '@bitsmith/core';
import { openSetting, type Setting } from '../quality/setting.js';
import type { EncoderCase } from './cases.js';

export interface EncoderSetting extends Setting {
  readonly about: EncoderCase;
  /** What the importance matrix was measured on. */
  readonly calibrationText: TokenizedText;
}

export async function* openEncoderSetting(
  run: RunContext,
  about: EncoderCase,
  location: string,
  home: string,
): Work<EncoderSetting> {
  const setting = yield* openSetting(run, about, location, home);
  const { calibration } = await loadCorpus();
  const [text] = await tokenizeTexts(run, setting.model, [calibration], about.contextTokens);
  return { ...setting, about, calibrationText: spreadChunks(text, about.calibrationTokens) };
}

/** The importance matrix, with what codes are chosen by beyond it. */
export async function* calibrationBy(
  run: RunContext,
  { model, calibration, calibrationText }: EncoderSetting,
  method: EncoderMethod,
): Work<Calibration> {
  return { ...calibration, rounding: yield* roundingStatistics(run, model, calibrationText, method) };
}
