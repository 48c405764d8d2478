/** @file Rows to a type of GGUF: ternary codes are fitted here, all others are the engine's. */
import { encodeRows as encodeByEngine, type EncodeRequest, type Engine } from '@bitsmith/ggml';
import { encodeTernary, isTernary } from './ternary.js';

/** @throws BitsmithError as `encodeRows` of `@bitsmith/ggml` and `encodeTernary` */
export async function encodeRows(engine: Engine, request: EncodeRequest, target: Uint8Array): Promise<void> {
  if (isTernary(request.type)) encodeTernary(request, request.type, target);
  else await encodeByEngine(engine, request, target);
}
