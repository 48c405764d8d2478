import { defineConfig } from 'vitest/config';

/** Tests that leave nothing behind in their process: of functions of data, mostly. */
const pure = [
  'packages/formats/test/**/*.test.ts',
  'packages/cli/test/render/**/*.test.ts',
  'packages/core/test/{io,model,plan,refine,text}/**/*.test.ts',
];

export default defineConfig({
  test: {
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    // More than the two cores that the tests are made for: many of them wait for processes that they started.
    maxWorkers: 3,
    projects: [
      {
        extends: true,
        test: {
          name: 'engine',
          include: ['packages/*/test/**/*.test.ts', 'bench/test/**/*.test.ts'],
          exclude: pure,
        },
      },
      // Files share processes and what they import: a process for each would take longer than most of them.
      { extends: true, test: { name: 'pure', include: pure, isolate: false } },
    ],
  },
});
