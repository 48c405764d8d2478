#!/usr/bin/env node
/** @file The command `bitsmith`. Loads as little as possible: each subcommand imports what it needs when it runs. */
import { runCli } from './cli.js';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe (`bitsmith inspect MODEL | head`) has seen enough.
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  throw error;
});

process.exitCode = await runCli(process.argv.slice(2), process);
