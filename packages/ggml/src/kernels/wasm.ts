/** @file Functions of WebAssembly and the binary module around them: the small assembler that makes the kernels. */
import {
  type Code,
  type Expression,
  expression,
  i32,
  type I32,
  type Statement,
  unsigned,
  valueTypes,
  type ValueType,
} from './instructions.js';

/** A variable; as an expression, its value. */
export interface Local<Type extends ValueType> extends Expression<Type> {
  set(value: Expression<Type>): Statement;
}

/** One function being written: its parameters, its variables, its body. */
export class WasmFunction<Result extends ValueType | null> {
  readonly parameters: readonly ValueType[];
  readonly result: Result;
  readonly body: Statement[] = [];
  private readonly variables: ValueType[] = [];

  constructor(parameters: readonly ValueType[], result: Result) {
    this.parameters = parameters;
    this.result = result;
  }

  parameter<Type extends ValueType>(index: number, type: Type): Local<Type> {
    return variable(index, type);
  }

  local<Type extends ValueType>(type: Type): Local<Type> {
    this.variables.push(type);
    return variable(this.parameters.length + this.variables.length - 1, type);
  }

  add(...statements: Statement[]): void {
    this.body.push(...statements);
  }

  /** The function's bytes in the code section of a module of `functions`. */
  encode(functions: readonly WasmFunction<ValueType | null>[]): number[] {
    const locals = this.variables.map((type) => [1, valueTypes[type]]);
    const code = [unsigned(locals.length), locals, this.body.map((statement) => statement.code), 0x0b];
    return sized(flat(code, functions));
  }

  get signature(): number[] {
    const results = this.result === null ? [] : [valueTypes[this.result]];
    return [
      0x60,
      ...vector(this.parameters.map((type) => [valueTypes[type]])),
      ...vector(results.map((type) => [type])),
    ];
  }
}

function variable<Type extends ValueType>(index: number, type: Type): Local<Type> {
  const set = (value: Expression<Type>): Statement => ({ code: [value.code, 0x21, unsigned(index)] });
  return { ...expression(type, 0x20, unsigned(index)), set };
}

/** The value that a function returns. */
export function result<Result extends ValueType>(
  callee: WasmFunction<Result>,
  ...values: Expression<ValueType>[]
): Expression<Result> {
  return expression(
    callee.result,
    values.map(({ code }) => code),
    0x10,
    callee,
  );
}

/** Calls a function that returns nothing. */
export function call(callee: WasmFunction<null>, ...values: Expression<ValueType>[]): Statement {
  return { code: [values.map(({ code }) => code), 0x10, callee] };
}

/** Ends a function with its value. */
export function give(value: Expression<ValueType>): Statement {
  return { code: [value.code, 0x0f] };
}

/** Runs the body at least once, and again while `counter`, advanced by `step`, is less than `end` (unsigned). */
export function loop(counter: Local<'i32'>, step: number, end: I32, body: readonly Statement[]): Statement {
  const advance = counter.set(i32.add(counter, i32.const(step)));
  const again = [i32.ltU(counter, end).code, 0x0d, 0];
  return { code: [0x03, 0x40, body.map(({ code }) => code), advance.code, again, 0x0b] };
}

/** Runs the body as long as the condition holds. */
export function loopWhile(condition: I32, body: readonly Statement[]): Statement {
  const again = [body.map(({ code }) => code), 0x0c, 1, 0x0b];
  return { code: [0x03, 0x40, condition.code, 0x04, 0x40, again, 0x0b] };
}

export function when(
  condition: I32,
  then: readonly Statement[],
  otherwise: readonly Statement[] = [],
): Statement {
  const other = otherwise.length === 0 ? [] : [0x05, otherwise.map(({ code }) => code)];
  return { code: [condition.code, 0x04, 0x40, then.map(({ code }) => code), other, 0x0b] };
}

/** `a` where the condition holds, else `b`; both are computed. */
export function choose<Type extends ValueType>(
  condition: I32,
  a: Expression<Type>,
  b: Expression<Type>,
): Expression<Type> {
  return expression(a.type, a.code, b.code, condition.code, 0x1b);
}

/**
 * A module with one imported shared memory (`env.memory`) and one exported function (`run`), the last of `functions`.
 * @param maximumPages the memory's limit, as it is made with
 */
export function assemble(
  functions: readonly WasmFunction<ValueType | null>[],
  maximumPages: number,
): Uint8Array<ArrayBuffer> {
  const header = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const types = vector(functions.map(({ signature }) => signature));
  const memory = [...name('env'), ...name('memory'), 2, 3, ...unsigned(1), ...unsigned(maximumPages)];
  const entry = [...name('run'), 0, ...unsigned(functions.length - 1)];
  return Uint8Array.from([
    ...header,
    ...section(1, types),
    ...section(2, vector([memory])),
    ...section(3, vector(functions.map((_, index) => unsigned(index)))),
    ...section(7, vector([entry])),
    ...section(10, vector(functions.map((definition) => definition.encode(functions)))),
  ]);
}

function flat(code: Code, functions: readonly WasmFunction<ValueType | null>[]): number[] {
  const bytes: number[] = [];
  const walk = (part: Code): void => {
    for (const item of part) {
      if (typeof item === 'number') bytes.push(item);
      else if (item instanceof WasmFunction) bytes.push(...unsigned(functions.indexOf(item)));
      else walk(item as Code);
    }
  };
  walk(code);
  return bytes;
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

function vector(items: readonly (readonly number[])[]): number[] {
  return [...unsigned(items.length), ...items.flat()];
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...sized(content)];
}

function name(text: string): number[] {
  return sized([...new TextEncoder().encode(text)]);
}
