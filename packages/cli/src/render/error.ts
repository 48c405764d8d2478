/** @file A failure, as its reader needs it: what, expected, found, what to do; as JSON on stdout where that was asked for. */
import { BitsmithError, serializeError, type SerializedError } from '@bitsmith/formats';
import type { CliProcess } from '../context.js';
import { displayWidth, oneLine, Paint, type Terminal, terminalOf, wrapWords } from './terminal.js';

/** Prints the failure and returns the exit code that stands for it. */
export function reportError(error: unknown, argv: readonly string[], host: CliProcess): number {
  const data = serializeError(error);
  if (wantsJson(argv)) {
    const { status, errorCode, errorType, message, expected, found, suggestion } = data;
    const json = { status, errorCode, errorType, message, expected, found, suggestion: suggestion ?? null };
    host.stdout.write(`${JSON.stringify(json, null, 2)}\n`);
    return data.errorCode;
  }
  host.stderr.write(renderError(error, terminalOf(host.stderr, host.env), argv.includes('--verbose')));
  return data.errorCode;
}

function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end === -1 ? argv : argv.slice(0, end)).includes('--json');
}

/** @param withStack adds the stack and the causes, for a report of a defect */
export function renderError(error: unknown, terminal: Terminal, withStack: boolean): string {
  const paint = new Paint(terminal);
  const data = serializeError(error);
  const cancelled = error instanceof BitsmithError && error.kind === 'cancelled';
  const head = cancelled ? paint.warning('! ') : `${paint.bad(paint.bold('Error'))}: `;
  const lines = [...block(head, data.message, terminal)];
  const { expected, found, suggestion } = untold(data);
  if (expected !== undefined) lines.push(...block(paint.dim('  expected  '), expected, terminal));
  if (found !== undefined) lines.push(...block(paint.dim('  found     '), found, terminal));
  if (suggestion !== undefined) lines.push(...block('  ', suggestion, terminal));
  if (!(error instanceof BitsmithError)) {
    lines.push('  This is a defect of Bitsmith: please report it, with what --verbose adds.');
  }
  if (!cancelled) lines.push(paint.dim(`  ${data.errorType}, exit code ${data.errorCode}`));
  if (withStack && error instanceof Error) lines.push(paint.dim(stackOf(error)));
  return `${lines.join('\n')}\n`;
}

/** What the message does not say already. JSON has all of it. */
function untold({
  message,
  expected,
  found,
  suggestion,
}: SerializedError): Pick<SerializedError, 'expected' | 'found' | 'suggestion'> {
  const isTold = (text: string | undefined): boolean => text !== undefined && message.includes(text);
  const again = isTold(expected) && suggestion?.includes(expected ?? '') === true;
  return {
    expected: isTold(expected) ? undefined : expected,
    found: isTold(found) ? undefined : found,
    suggestion: again ? undefined : suggestion,
  };
}

/** Words wrapped beside a label. */
function block(label: string, text: string, terminal: Terminal): string[] {
  const indent = displayWidth(label);
  return wrapWords(oneLine(text), Math.max(20, terminal.width - indent)).map((line, index) => {
    return (index === 0 ? label : ' '.repeat(indent)) + line;
  });
}

function stackOf(error: Error): string {
  const own = error.stack ?? String(error);
  return error.cause instanceof Error ? `${own}\ncaused by ${stackOf(error.cause)}` : own;
}
