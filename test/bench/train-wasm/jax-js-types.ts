/** The part of jax-js that the bench uses; the package is no dependency of this project. */
export interface JaxArray {
  readonly shape: number[];
  /** The same array with one more use: whatever is passed on is used up. */
  readonly ref: JaxArray;
  readonly add: (other: JaxArray | number) => JaxArray;
  readonly sub: (other: JaxArray | number) => JaxArray;
  readonly mul: (other: JaxArray | number) => JaxArray;
  readonly div: (other: JaxArray | number) => JaxArray;
  readonly neg: () => JaxArray;
  readonly equal: (other: JaxArray) => JaxArray;
  readonly greaterEqual: (other: number) => JaxArray;
  readonly sum: (axis?: number, options?: { readonly keepdims: boolean }) => JaxArray;
  readonly mean: (axis: number, options: { readonly keepdims: boolean }) => JaxArray;
  readonly reshape: (shape: readonly number[]) => JaxArray;
  readonly transpose: (axes?: readonly number[]) => JaxArray;
  readonly slice: (...index: (readonly [number, number] | number)[]) => JaxArray;
  readonly dataSync: () => Float32Array;
}

export type JaxTree = Readonly<Record<string, JaxArray>>;

export interface JaxModule {
  readonly init: (device: string) => Promise<readonly string[]>;
  readonly numpy: {
    readonly float32: unknown;
    readonly int32: unknown;
    readonly arange: (count: number) => JaxArray;
    readonly array: (
      values: Float32Array | Int32Array,
      options: { readonly shape: readonly number[]; readonly dtype: unknown },
    ) => JaxArray;
    readonly concatenate: (parts: readonly JaxArray[], axis: number) => JaxArray;
    readonly matmul: (a: JaxArray, b: JaxArray) => JaxArray;
    readonly maximum: (a: JaxArray, b: number) => JaxArray;
    readonly minimum: (a: JaxArray, b: number) => JaxArray;
    readonly sqrt: (x: JaxArray) => JaxArray;
    readonly square: (x: JaxArray) => JaxArray;
    readonly take: (x: JaxArray, indices: JaxArray, axis: number) => JaxArray;
    readonly tile: (x: JaxArray, counts: readonly number[]) => JaxArray;
    readonly trueDivide: (x: number, y: JaxArray) => JaxArray;
    readonly where: (condition: JaxArray, x: JaxArray, y: number) => JaxArray;
    readonly zeros: (shape: readonly number[]) => JaxArray;
  };
  readonly nn: {
    readonly gelu: (x: JaxArray, options: { readonly approximate: boolean }) => JaxArray;
    readonly logSoftmax: (x: JaxArray, axis: number) => JaxArray;
    readonly softmax: (x: JaxArray, axis: number) => JaxArray;
  };
  readonly random: {
    readonly key: (seed: number) => JaxArray;
    readonly split: (key: JaxArray, count: number) => JaxArray;
    readonly uniform: (key: JaxArray, shape: readonly number[]) => JaxArray;
  };
  readonly lax: { readonly stopGradient: (x: JaxArray) => JaxArray };
  readonly valueAndGrad: (
    f: (parameters: JaxTree, ...rest: readonly JaxArray[]) => JaxArray,
  ) => (parameters: JaxTree, ...rest: readonly JaxArray[]) => [JaxArray, JaxTree];
  readonly jit: <Args extends readonly unknown[], Result>(
    f: (...args: Args) => Result,
  ) => (...args: Args) => Result;
  readonly tree: { readonly ref: <Tree>(tree: Tree) => Tree };
}
