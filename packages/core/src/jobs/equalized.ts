/** @file What a plan is made within, changed to the equalized model where that was asked for. */
import type { RunContext } from '../run/context.js';
import type { Work } from '../run/events.js';
import type { TokenizedText } from '../text/tokenize.js';
import { equalize } from '../transform/equalize/equalize.js';
import { parseEqualize } from '../transform/equalize/parse.js';
import { type AskedFrame, type Frame, frameOf, type FrameOptions } from './plan-frame.js';

/** The frame of the equalized model, where that was asked for. */
export async function* equalizedFrame(
  run: RunContext,
  frame: Frame,
  text: TokenizedText,
  options: FrameOptions,
  asked: AskedFrame,
): Work<Frame> {
  const mode = parseEqualize(options);
  if (mode === null) return frame;
  const { model, equalization } = yield* equalize(run, frame.model, text, mode);
  return { ...(await frameOf(model, frame.corpus, options, asked)), equalization };
}
