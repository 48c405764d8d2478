/**
 * @file From arguments to an exit code. Stricli scans arguments and prints help; every failure, its own included, leaves
 * through one door (`report`), so that messages, `--json` and exit codes agree.
 */
import {
  type ApplicationText,
  ArgumentScannerError,
  buildApplication,
  formatMessageForArgumentScannerError,
  run,
  type StricliIntegration,
  text_en,
} from '@stricli/core';
import type { CliContext, CliProcess } from './context.js';
import { routes } from './routes.js';
import { version } from './version.js';

/** What went wrong, as stricli hands it over. */
type Failure =
  | { readonly kind: 'usage'; readonly message: string }
  | { readonly kind: 'thrown'; readonly error: unknown };

/** Runs the command and returns its exit code; never throws. */
export async function runCli(argv: readonly string[], host: CliProcess): Promise<number> {
  const failures: Failure[] = [];
  const app = buildApplication<CliContext>(
    routes,
    {
      name: 'bitsmith',
      scanner: {
        caseStyle: 'allow-kebab-for-camel',
        allowArgumentEscapeSequence: true,
        distanceOptions: {
          threshold: 3,
          weights: { insertion: 1, deletion: 1, substitution: 2, transposition: 1 },
        },
      },
      localization: { text: collecting(failures) },
    },
    { help: helpFlag(host), version: versionFlag },
  );
  const inner: CliContext['process'] = {
    stdout: host.stdout,
    // Its messages are collected instead, and reported below.
    stderr: { write: () => true },
    env: host.env,
  };
  await run(app, argv, { process: inner, host });
  return failures.length === 0 ? 0 : report(failures, argv, host);
}

const versionFlag: StricliIntegration<CliContext> = {
  flag: {
    brief: 'Print the version',
    async run() {
      this.process.stdout.write(`${version}\n`);
    },
  },
};

/** `--help` and `-h` of every command, and what a group of commands answers on its own. */
function helpFlag(host: CliProcess): StricliIntegration<CliContext> {
  return {
    flag: {
      brief: 'Print help',
      aliases: ['h'],
      global: true,
      defaultForRouteMap: true,
      async run(_app, { result }) {
        const { renderHelp } = await import('./render/help.js');
        const { terminalOf } = await import('./render/terminal.js');
        host.stdout.write(renderHelp(result.target, result.prefix, terminalOf(host.stdout, host.env)));
      },
    },
  };
}

/** English texts that remember failures on their way to being formatted. */
function collecting(failures: Failure[]): ApplicationText {
  const usage = (message: string): string => {
    failures.push({ kind: 'usage', message });
    return message;
  };
  const thrown = (error: unknown): string => {
    failures.push({ kind: 'thrown', error });
    return '';
  };
  return {
    ...text_en,
    noCommandRegisteredForInput: ({ input, corrections }) =>
      usage(`unknown command '${input}'${didYouMean(corrections.map((name) => name.replaceAll('`', '')))}`),
    exceptionWhileParsingArguments: (error) => usage(describeScannerError(error)),
    exceptionWhileLoadingCommandFunction: thrown,
    exceptionWhileLoadingCommandContext: thrown,
    exceptionWhileRunningCommand: thrown,
    commandErrorResult: thrown,
    exceptionWhileRunningIntegrationFlag: ({ exception }) => thrown(exception),
    exceptionWhileRunningIntegrationHook: ({ exception }) => thrown(exception),
  };
}

function describeScannerError(error: unknown): string {
  if (!(error instanceof ArgumentScannerError)) return error instanceof Error ? error.message : String(error);
  return formatMessageForArgumentScannerError(error, {
    FlagNotFoundError: ({ input, corrections }) =>
      `unknown flag --${input}${didYouMean(corrections.map((name) => `--${name}`))}`,
    AliasNotFoundError: ({ input }) => `unknown flag -${input}`,
    ArgumentParseError: ({ externalFlagNameOrPlaceholder: name, input, exception }) =>
      `${flagName(name)} ${input}: ${exception instanceof Error ? exception.message : String(exception)}`,
    UnsatisfiedFlagError: ({ externalFlagName, nextFlagName }) =>
      `expected a value after --${externalFlagName}${nextFlagName === undefined ? '' : `, found --${nextFlagName}`}`,
    UnsatisfiedPositionalError: ({ placeholder }) => `expected ${placeholder}, found nothing`,
    UnexpectedPositionalError: ({ input, expectedCount }) =>
      `expected ${expectedCount} ${expectedCount === 1 ? 'argument' : 'arguments'}, found '${input}' as one more`,
    UnexpectedFlagError: ({ externalFlagName }) => `--${externalFlagName} was given twice`,
  });
}

/** Positional placeholders are written in capitals, flags are not. */
function flagName(name: string): string {
  return name === name.toUpperCase() ? name : `--${name}`;
}

function didYouMean(names: readonly string[]): string {
  return names.length === 0 ? '' : `; did you mean ${names.join(' or ')}?`;
}

async function report(
  failures: readonly Failure[],
  argv: readonly string[],
  host: CliProcess,
): Promise<number> {
  const { BitsmithError } = await import('@bitsmith/formats');
  const { reportError } = await import('./render/error.js');
  const thrown = failures.find((failure) => failure.kind === 'thrown');
  const error =
    thrown === undefined
      ? new BitsmithError(
          'arguments',
          'ARGUMENTS_INVALID',
          failures.map((failure) => usageMessage(failure)).join('; '),
          {
            suggestion: `See: bitsmith ${[...helpPath(argv), '--help'].join(' ')}`,
          },
        )
      : thrown.error;
  return reportError(error, argv, host);
}

function usageMessage(failure: Failure): string {
  return failure.kind === 'usage' ? failure.message : '';
}

/** The words before the first flag that name a command. */
function helpPath(argv: readonly string[]): readonly string[] {
  const [command, subcommand] = argv;
  if (command === undefined || routes.getRoutingTargetForInput(command) === undefined) return [];
  return command === 'cache' && (subcommand === 'ls' || subcommand === 'gc')
    ? [command, subcommand]
    : [command];
}
