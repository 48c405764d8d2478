import type { CliContext } from '../context.js';
import type { OutputFlags, RunFlags } from '../flags.js';
import { bytes, exactBytes } from '../render/units.js';
import { printResult, runWork } from '../session.js';

export interface ConvertFlags extends Pick<RunFlags, 'home' | 'token'>, OutputFlags {
  readonly output: string;
}

export async function convert(this: CliContext, flags: ConvertFlags, model: string): Promise<void> {
  const core = await import('@bitsmith/core');
  const { output, home, token } = flags;
  const result = await runWork(this, flags, (signal) => core.convert({ model, output, home, token, signal }));
  const size = `${exactBytes(result.byteLength)} (${bytes(result.byteLength)})`;
  printResult(this, flags, {
    json: result,
    draw: () => `${result.path}\n  ${size}\n  sha256 ${result.sha256}\n`,
  });
}
