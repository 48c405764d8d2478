/**
 * @file Models that were trained with ternary weights, stored in floats: every block of 256 weights is a half float times -1, 0 and 1.
 * TQ1_0 and TQ2_0 hold such tensors exactly, whatever samples of rows and typical errors would say, and their price there is 0.
 */
import { TERNARY_VERSION, isTernary, ternarySchemes } from '../../encode/ternary.js';
import { ENGINE_RELEASE } from '../../engine/release.js';
import type { SourceModel } from '../../model/types.js';
import { isLegalForRows, findScheme } from '../../plan/schemes.js';
import { quantizable } from '../../plan/quantizable.js';
import type { Choice } from '../../plan/types.js';
import type { RunContext } from '../../run/context.js';
import type { TaskIdentity } from '../../run/store.js';
import { againAfterCrash } from '../../run/work.js';

/** Names of the tensors that ternary codes hold exactly, every weight of them checked. */
export async function ternaryTensors(run: RunContext, model: SourceModel): Promise<ReadonlySet<string>> {
  const task: TaskIdentity = {
    kind: 'ternary-tensors',
    version: 1,
    parameters: { engine: ENGINE_RELEASE, ternary: TERNARY_VERSION },
    inputs: { model: model.sha256 },
  };
  const known = await run.store.readJson<readonly string[]>(task);
  if (known !== null) return new Set(known);
  const tensors = model.tensors
    .filter((tensor) => quantizable(tensor).allowed && !isTernary(tensor.type) && fits(tensor.shape[0]))
    .map(({ name }) => name);
  const files = model.files.map((file) => file.path);
  const found = await againAfterCrash(
    () => run.engine.run('ternary', { files, tensors }, { signal: run.signal }),
    () => undefined,
  );
  await run.store.writeJson(task, found);
  return new Set(found);
}

function fits(rowLength: number): boolean {
  return ternarySchemes.every((id) => {
    const scheme = findScheme(id);
    return scheme !== undefined && isLegalForRows(scheme, rowLength);
  });
}

/** The choices with what is exact priced as that. */
export function withTernaryExact(
  choices: readonly Choice[],
  ternary: ReadonlySet<string>,
): readonly Choice[] {
  if (ternary.size === 0) return choices;
  return choices.map((choice) => {
    if (!ternary.has(choice.tensor)) return choice;
    const { candidates, beside } = choice;
    const exact = { ...choice, candidates: candidates.map(asExact) };
    return beside === undefined ? exact : { ...exact, beside: beside.map(asExact) };
  });
}

function asExact<Each extends { readonly scheme: string; readonly klNats: number | null }>(each: Each): Each {
  return isTernary(each.scheme) ? { ...each, klNats: 0 } : each;
}
