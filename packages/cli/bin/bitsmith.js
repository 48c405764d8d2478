#!/usr/bin/env node
// Stands in the repository, unlike what it starts, so that npm can link it before the first build.
await import('../dist/main.js');
