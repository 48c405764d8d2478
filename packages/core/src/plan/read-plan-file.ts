/**
 * @file Reads a plan file. Mirrors `plan-file.ts`. The schemes are the file's; everything else in it is checked against the
 * model at hand or computed anew. Every refusal names the line.
 */
import { isMap, LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import { z } from 'zod';
import type { ModelTensor } from '../model/types.js';
import { schemeForTensor } from './named-scheme.js';
import { didYouMean, nearestNames } from './nearest-names.js';
import { planError } from './plan-error.js';
import { PLAN_FILE_VERSION } from './plan-file.js';
import { quantizable } from './quantizable.js';
import type { StorageType } from './schemes.js';
import { lineOf, type ParsedYaml, tensorLines } from './yaml-lines.js';

/** A plan file that fits the model it is read for. */
export interface PlanFile {
  readonly budget: { readonly request: string; readonly bytes: number };
  /** The type of every tensor of the model. */
  readonly schemes: ReadonlyMap<string, StorageType>;
  /** Where each tensor stands. */
  readonly lines: ReadonlyMap<string, number>;
}

/** Far more than a plan of 100,000 tensors. */
const MOST_CHARACTERS = 64 * 2 ** 20;

/** `predicted` and `hash` may be there; they are not read. */
const fileSchema = z.object({
  version: z.literal(PLAN_FILE_VERSION),
  source: z.object({ name: z.string(), sha256: z.string() }),
  budget: z.object({ request: z.string(), bytes: z.number().int().positive() }),
  tensors: z.record(z.string(), z.string()),
});

/**
 * Reads a plan for `model`.
 * @throws BitsmithError kind `plan`: `PLAN_FILE_SYNTAX`, `PLAN_FILE_VERSION`, `PLAN_FILE_CONTENT`, `PLAN_FOR_OTHER_WEIGHTS`,
 * `PLAN_TENSOR_UNKNOWN`, `PLAN_TENSOR_MISSING`, `PLAN_TENSOR_KEPT`, `SCHEME_UNKNOWN` or `SCHEME_ILLEGAL`.
 */
export function readPlanFile(
  text: string,
  model: { readonly name: string; readonly sha256: string; readonly tensors: readonly ModelTensor[] },
): PlanFile {
  const parsed = parse(text);
  refuseOtherVersion(parsed);
  const content = fileSchema.safeParse(plainContent(parsed.document));
  if (!content.success) throw contentError(parsed, content.error.issues[0]);
  const { source, budget, tensors } = content.data;
  if (source.sha256 !== model.sha256) throw otherWeights(parsed, source, model);

  const byName = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const lines = tensorLines(parsed);
  const schemes = new Map<string, StorageType>();
  for (const [name, scheme] of Object.entries(tensors)) {
    const where = `plan file, line ${lines.get(name)}`;
    const tensor = byName.get(name);
    if (tensor === undefined) throw unknownTensor(name, where, [...byName.keys()]);
    schemes.set(name, allowedType(scheme, tensor, where));
  }
  const missing = model.tensors.filter(({ name }) => !schemes.has(name));
  if (missing.length > 0) throw missingTensors(parsed, missing);
  return { budget, schemes, lines };
}

function parse(text: string): ParsedYaml {
  const lines = new LineCounter();
  if (text.length > MOST_CHARACTERS) {
    throw planError(
      'PLAN_FILE_SYNTAX',
      `expected a plan file of at most ${MOST_CHARACTERS} characters, found ${text.length}`,
    );
  }
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line } = lines.linePos(error.pos[0]);
    throw planError('PLAN_FILE_SYNTAX', `plan file, line ${line}: ${error.message}`, {
      expected: 'YAML with one `name: scheme` a tensor',
      found: error.code,
      suggestion: 'Correct the line, or write the plan anew.',
      cause: error,
    });
  }
  if (!isMap(document.contents)) {
    throw planError(
      'PLAN_FILE_CONTENT',
      'expected a plan file with version, source, budget and tensors, found none of them',
      {
        expected: 'a YAML mapping',
        found: text.trim() === '' ? 'an empty file' : 'something else',
      },
    );
  }
  return { document, lines };
}

/** Aliases are refused: a plan needs none, and they let a small file grow without limit. */
function plainContent(document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: 0 });
  } catch (cause) {
    throw planError('PLAN_FILE_SYNTAX', 'expected a plan file without YAML aliases (*name)', {
      suggestion: 'Write each scheme out.',
      cause,
    });
  }
}

/** Said before anything else: a later version may differ in everything. */
function refuseOtherVersion(parsed: ParsedYaml): void {
  const version: unknown = parsed.document.get('version');
  if (version === PLAN_FILE_VERSION) return;
  const found = version === undefined ? 'none' : JSON.stringify(version);
  throw planError(
    'PLAN_FILE_VERSION',
    `plan file, line ${lineOf(parsed, ['version'])}: expected version ${PLAN_FILE_VERSION}, found ${found}`,
    {
      expected: String(PLAN_FILE_VERSION),
      found,
      suggestion: 'Write the plan with this release of bitsmith.',
    },
  );
}

function allowedType(scheme: string, tensor: ModelTensor, where: string): StorageType {
  const type = schemeForTensor(scheme, tensor, where);
  const { allowed, reason } = quantizable(tensor);
  if (allowed || type === tensor.type) return type;
  throw planError(
    'PLAN_TENSOR_KEPT',
    `${where}: ${tensor.name} is never quantized (${reason}), found ${type}`,
    {
      expected: `${tensor.type} or keep`,
      found: type,
      suggestion: `Write ${tensor.type}, or keep.`,
    },
  );
}

function contentError(parsed: ParsedYaml, issue: z.core.$ZodIssue): Error {
  const path = issue.path.map(String);
  const what = path.length === 0 ? 'the file' : path.join('.');
  return planError(
    'PLAN_FILE_CONTENT',
    `plan file, line ${lineOf(parsed, path)}: ${what}: ${issue.message}`,
    {
      expected: 'version, source {name, sha256}, budget {request, bytes} and tensors {name: scheme}',
      found: what,
      suggestion: 'Correct the line, or write the plan anew.',
    },
  );
}

function otherWeights(
  parsed: ParsedYaml,
  source: { name: string; sha256: string },
  model: { name: string; sha256: string },
): Error {
  const line = lineOf(parsed, ['source', 'sha256']);
  return planError(
    'PLAN_FOR_OTHER_WEIGHTS',
    `plan file, line ${line}: the plan was made for other weights: ${source.name}, not ${model.name} as given`,
    {
      expected: model.sha256,
      found: source.sha256,
      suggestion: 'Use the model that the plan was made for, or make a plan for this one.',
    },
  );
}

function unknownTensor(name: string, where: string, names: readonly string[]): Error {
  return planError('PLAN_TENSOR_UNKNOWN', `${where}: the model has no tensor ${JSON.stringify(name)}`, {
    expected: 'a tensor of the model',
    found: name,
    suggestion: didYouMean(nearestNames(name, names)).trim() || 'Remove the line.',
  });
}

function missingTensors(parsed: ParsedYaml, missing: readonly ModelTensor[]): Error {
  const [{ name }] = missing;
  const more = missing.length === 1 ? '' : ` and ${missing.length - 1} more`;
  return planError(
    'PLAN_TENSOR_MISSING',
    `plan file, line ${lineOf(parsed, ['tensors'])}: the list lacks ${name}${more}`,
    {
      expected: 'a line for every tensor of the model',
      found: `${missing.length} missing`,
      suggestion: `Add a line for each, for example \`${name}: keep\`.`,
    },
  );
}
