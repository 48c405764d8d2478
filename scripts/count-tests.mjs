/**
 * @file Prints one line with the tests that really ran, from vitest's own JSON reports: `N passed, N failed`. A file that could not
 * run at all counts as one failure. Exits 1 when anything failed, a report is missing or nothing ran.
 *
 *     node scripts/count-tests.mjs REPORT.json...
 */
import { existsSync, readFileSync } from 'node:fs';

let passed = 0;
let failed = 0;
let skipped = 0;
let missing = 0;
for (const file of process.argv.slice(2)) {
  if (!existsSync(file)) {
    console.error(`expected a test report at ${file}, found none`);
    missing++;
    continue;
  }
  const report = JSON.parse(readFileSync(file, 'utf8'));
  passed += report.numPassedTests;
  failed += report.numFailedTests;
  skipped += report.numPendingTests + report.numTodoTests;
  failed += report.testResults.filter(
    ({ status, assertionResults }) =>
      status === 'failed' && !assertionResults.some((test) => test.status === 'failed'),
  ).length;
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed === 0 && missing === 0 && passed > 0 ? 0 : 1;
