/** @file What a token is to llama.cpp: the values of `tokenizer.ggml.token_type`. */
export const tokenTypes = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Some models do not flag the added tokens that steer them as special; these are known by their look. */
export function looksSpecial(text: string): boolean {
  return (
    ['<pad>', '<mask>', '<2mass>', '[@BOS@]'].includes(text) ||
    (text.startsWith('<|') && text.endsWith('|>')) ||
    (text.startsWith('<｜') && text.endsWith('｜>')) ||
    (text.startsWith('<unused') && text.endsWith('>'))
  );
}

/** SentencePiece's sign for a space is stored as a space in tokens that a user defined. */
export function withSpaces(text: string): string {
  return text.replaceAll('\u2581', ' ');
}
