/**
 * A small assembler for WebAssembly functions on 128-bit vectors (WebAssembly core specification 2.0, binary format).
 * The loops that training needs beyond tfjs's kernels are written with it, so that the repository holds their source
 * and no binary.
 */

export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128';

/** Code that leaves one value on the stack. */
export interface Expression<T extends ValueType> {
  readonly type: T;
  readonly code: readonly number[];
}

/** A variable of a function; as an expression it is the variable's value. */
export interface Local<T extends ValueType> extends Expression<T> {
  readonly index: number;
}

/** Code that leaves nothing on the stack. */
export type Statement = readonly number[];

export type I32 = Expression<'i32'>;
export type I64 = Expression<'i64'>;
export type F32 = Expression<'f32'>;
export type F64 = Expression<'f64'>;
export type V128 = Expression<'v128'>;

/** A function of the module to be. */
export interface FunctionDefinition<N extends string = string> {
  readonly name: N;
  readonly params: readonly ValueType[];
  readonly result: ValueType | undefined;
  readonly locals: readonly ValueType[];
  readonly code: readonly number[];
}

const typeCodes: Readonly<Record<ValueType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};

const opcode = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  branch: 0x0c,
  branchIf: 0x0d,
  return: 0x0f,
  localGet: 0x20,
  localSet: 0x21,
  i32Const: 0x41,
  i32EqualsZero: 0x45,
  i32GreaterOrEqualUnsigned: 0x4f,
  i32Add: 0x6a,
  voidBlock: 0x40,
} as const;

/** Collects the code of one function, statement by statement. */
export class FunctionBuilder {
  readonly code: number[] = [];
  readonly locals: ValueType[] = [];
  readonly #numParams: number;

  constructor(numParams: number) {
    this.#numParams = numParams;
  }

  emit(statement: Statement): void {
    for (const byte of statement) this.code.push(byte);
  }

  /** A new variable with this value. */
  let<T extends ValueType>(value: Expression<T>): Local<T> {
    const local = localAt(this.#numParams + this.locals.length, value.type);
    this.locals.push(value.type);
    this.set(local, value);
    return local;
  }

  set<T extends ValueType>(local: Local<T>, value: Expression<T>): void {
    this.emit(value.code);
    this.emit([opcode.localSet, ...unsigned(local.index)]);
  }

  /** Adds a number to a variable. */
  advance(local: Local<'i32'>, step: I32): void {
    this.set(local, { type: 'i32', code: [...local.code, ...step.code, opcode.i32Add] });
  }

  /** Runs the body for counter, counter + step, … as long as the counter is below the end, unsigned. */
  while(counter: Local<'i32'>, end: I32, step: number, body: () => void): void {
    this.emit([opcode.block, opcode.voidBlock, opcode.loop, opcode.voidBlock]);
    this.emit([...counter.code, ...end.code, opcode.i32GreaterOrEqualUnsigned, opcode.branchIf, 1]);
    body();
    this.advance(counter, { type: 'i32', code: [opcode.i32Const, ...signed(step)] });
    this.emit([opcode.branch, 0, opcode.end, opcode.end]);
  }

  /** Runs the body as long as the condition is not 0. */
  repeatWhile(condition: I32, body: () => void): void {
    this.emit([opcode.block, opcode.voidBlock, opcode.loop, opcode.voidBlock]);
    this.emit([...condition.code, opcode.i32EqualsZero, opcode.branchIf, 1]);
    body();
    this.emit([opcode.branch, 0, opcode.end, opcode.end]);
  }

  if(condition: I32, then: () => void, otherwise?: () => void): void {
    this.emit([...condition.code, opcode.if, opcode.voidBlock]);
    then();
    if (otherwise !== undefined) {
      this.emit([opcode.else]);
      otherwise();
    }
    this.emit([opcode.end]);
  }

  return(value: Expression<ValueType>): void {
    this.emit([...value.code, opcode.return]);
  }
}

type Params<P extends readonly ValueType[]> = { [I in keyof P]: Local<P[I]> };

/**
 * Defines a function.
 * @param body emits the code and returns the result, if the function has one
 */
export function defineFunction<N extends string, const P extends readonly ValueType[]>(
  name: N,
  params: P,
  body: (builder: FunctionBuilder, params: Params<P>) => Expression<ValueType> | undefined,
): FunctionDefinition<N> {
  const builder = new FunctionBuilder(params.length);
  const result = body(builder, params.map((type, index) => localAt(index, type)) as Params<P>);
  if (result !== undefined) builder.emit(result.code);
  const { locals, code } = builder;
  return { name, params, result: result?.type, locals, code };
}

/** The binary of a module that imports its memory as `env.memory` and exports the functions. */
export function assemble(functions: readonly FunctionDefinition[]): Uint8Array<ArrayBuffer> {
  const types = functions.map(({ params, result }) => [
    0x60,
    ...vector(params.map((type) => [typeCodes[type]])),
    ...vector(result === undefined ? [] : [[typeCodes[result]]]),
  ]);
  const memoryImport = [...text('env'), ...text('memory'), 0x02, 0x00, 0x00];
  const exports = functions.map(({ name }, index) => [...text(name), 0x00, ...unsigned(index)]);
  const bodies = functions.map(({ locals, code }) => {
    const declarations = vector(locals.map((type) => [1, typeCodes[type]]));
    return sized([...declarations, ...code, opcode.end]);
  });
  return Uint8Array.from([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, types),
    ...section(2, [memoryImport]),
    ...section(
      3,
      functions.map((_, index) => unsigned(index)),
    ),
    ...section(7, exports),
    ...section(10, bodies),
  ]);
}

/** LEB128, unsigned. */
export function unsigned(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80);
    rest >>>= 7;
  }
  return [...bytes, rest];
}

/** LEB128, signed 32 bits. */
export function signed(value: number): number[] {
  const bytes: number[] = [];
  let rest = value | 0;
  for (;;) {
    const low = rest & 0x7f;
    rest >>= 7;
    if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return [...bytes, low];
    bytes.push(low | 0x80);
  }
}

function localAt<T extends ValueType>(index: number, type: T): Local<T> {
  return { type, index, code: [opcode.localGet, ...unsigned(index)] };
}

function section(id: number, entries: readonly (readonly number[])[]): number[] {
  return [id, ...sized(vector(entries))];
}

function vector(entries: readonly (readonly number[])[]): number[] {
  return [...unsigned(entries.length), ...entries.flat()];
}

function sized(bytes: readonly number[]): number[] {
  return [...unsigned(bytes.length), ...bytes];
}

function text(value: string): number[] {
  return sized([...new TextEncoder().encode(value)]);
}
