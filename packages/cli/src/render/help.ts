/** @file Help: what a command does, how it is called, and its flags in groups. */
import type { Command, RouteMap } from '@stricli/core';
import type { CliContext } from '../context.js';
import { flagGroups } from '../flags.js';
import { displayWidth, padEnd, Paint, type Terminal, wrapWords } from './terminal.js';

const widest = 100;

type Target = Command<CliContext> | RouteMap<CliContext>;
type Flags = NonNullable<Command<CliContext>['parameters']['flags']>;

/** @param path the words that lead to the target, `bitsmith` first */
export function renderHelp(target: Target, path: readonly string[], terminal: Terminal): string {
  const screen = { ...terminal, width: Math.min(widest, terminal.width) };
  const sections =
    'parameters' in target ? commandHelp(target, path, screen) : routesHelp(target, path, screen);
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function routesHelp(routes: RouteMap<CliContext>, path: readonly string[], terminal: Terminal): string[][] {
  const paint = new Paint(terminal);
  const entries = routes
    .getAllEntries()
    .map(({ name, target }) => [name['convert-camel-to-kebab'], target.brief] as const);
  const more = `\`${path.join(' ')} COMMAND --help\` says more of each.`;
  return [
    [`${paint.bold(path.join(' '))}  ${routes.brief}`],
    ...paragraphs(routes.fullDescription, terminal),
    [paint.bold('Commands'), ...definitions(entries, terminal)],
    [paint.dim(path.length === 1 ? `${more} --version prints the version.` : more)],
  ];
}

function commandHelp(command: Command<CliContext>, path: readonly string[], terminal: Terminal): string[][] {
  const paint = new Paint(terminal);
  const { flags = {}, positional, aliases = {} } = command.parameters;
  const named = positional?.kind === 'tuple' ? positional.parameters : [];
  const words = named.map(({ placeholder = 'VALUE', optional }) =>
    optional === true ? `[${placeholder}]` : placeholder,
  );
  const required = Object.entries(flags).flatMap(([name, flag]) => {
    return flag.kind === 'parsed' && flag.optional !== true && flag.default === undefined
      ? [spelling(name, flag)]
      : [];
  });
  const usage = [...path, ...words, ...required, '[flags]'].join(' ');
  return [
    [`${paint.bold(usage)}`],
    ...paragraphs(command.fullDescription ?? command.brief, terminal),
    ...(words.length > 1
      ? [
          definitions(
            named.map(({ placeholder, brief }) => [placeholder ?? 'VALUE', brief]),
            terminal,
          ),
        ]
      : []),
    ...groupedFlags(flags, aliases, terminal),
  ];
}

function groupedFlags(
  flags: Flags,
  aliases: Readonly<Record<string, unknown>>,
  terminal: Terminal,
): string[][] {
  const paint = new Paint(terminal);
  const grouped = new Set<string>(Object.values(flagGroups).flat());
  const own = Object.keys(flags).filter((name) => !grouped.has(name));
  const groups = Object.entries({ Flags: own, ...flagGroups });
  const labels = (name: string): string => {
    const alias = Object.keys(aliases).find((letter) => aliases[letter] === name);
    return (alias === undefined ? '' : `-${alias}, `) + spelling(name, flags[name]);
  };
  const width = Math.max(
    ...Object.keys(flags).map((name) => displayWidth(labels(name))),
    '-h, --help'.length,
  );
  return groups.flatMap(([title, names]) => {
    const present = names.filter((name) => flags[name] !== undefined && flags[name].hidden !== true);
    const entries = present.map((name) => [labels(name), flags[name].brief] as const);
    if (title === 'Messages') entries.push(['-h, --help', 'Print this']);
    return entries.length === 0 ? [] : [[paint.bold(title), ...definitions(entries, terminal, width)]];
  });
}

function spelling(name: string, flag: Flags[string]): string {
  const words = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  return flag.kind === 'boolean' ? words : `${words} ${flag.placeholder ?? 'VALUE'}`;
}

/** Terms beside their wrapped descriptions. */
function definitions(
  entries: readonly (readonly [term: string, text: string])[],
  terminal: Terminal,
  termWidth = Math.max(...entries.map(([term]) => displayWidth(term))),
): string[] {
  const room = Math.max(24, terminal.width - termWidth - 4);
  return entries.flatMap(([term, text]) =>
    wrapWords(text, room).map((line, index) => `  ${padEnd(index === 0 ? term : '', termWidth)}  ${line}`),
  );
}

/** Paragraphs of a description, wrapped; indented lines stay as they are. */
function paragraphs(text: string | undefined, terminal: Terminal): string[][] {
  if (text === undefined) return [];
  return text.split('\n\n').map((paragraph) => {
    if (paragraph.startsWith('  ')) return paragraph.split('\n');
    return wrapWords(paragraph.replaceAll('\n', ' '), terminal.width);
  });
}
