/** @file Runs the built command in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url));

export const referenceModel = fileURLToPath(new URL('../../../models/orator-8m', import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Running {
  readonly child: ChildProcess;
  readonly outcome: Promise<Outcome>;
  /** Resolves when stderr has said this. */
  saying(text: string): Promise<void>;
}

export interface RunSettings {
  readonly cwd?: string;
  readonly home?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Starts the command; colours, width, locale and store do not depend on who runs the tests. */
export function start(args: readonly string[], options: RunSettings = {}): Running {
  const env: NodeJS.ProcessEnv = {
    ...process.env,
    LC_ALL: 'C.UTF-8',
    NO_COLOR: '1',
    TERM: 'xterm',
    COLUMNS: '80',
  };
  delete env['HF_ENDPOINT'];
  if (options.home !== undefined) env['BITSMITH_HOME'] = options.home;
  Object.assign(env, options.env);
  const child = spawn(process.execPath, [main, ...args], {
    env,
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const outcome = new Promise<Outcome>((resolve) => {
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
  const saying = async (text: string): Promise<void> => {
    while (!stderr.includes(text)) {
      if (child.exitCode !== null) throw new Error(`ended without saying '${text}': ${stderr}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  return { child, outcome, saying };
}

export function bitsmith(args: readonly string[], options: RunSettings = {}): Promise<Outcome> {
  return start(args, options).outcome;
}
