/** Types that keys and values can be kept in, as llama.cpp's `--cache-type-k` and `--cache-type-v` name them. */
export const keyValueTypes = [
  'F32',
  'F16',
  'BF16',
  'Q8_0',
  'Q5_1',
  'Q5_0',
  'Q4_1',
  'Q4_0',
  'IQ4_NL',
] as const;
export type KeyValueType = (typeof keyValueTypes)[number];
