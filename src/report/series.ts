/** A point of a curve. */
export interface Point {
  readonly x: number;
  readonly y: number;
}

/**
 * Means over equal runs of neighbouring points, so that a million steps draw as fast as a hundred.
 * @param limit points to keep at most
 */
export function thinOut(points: readonly Point[], limit: number): readonly Point[] {
  if (points.length <= limit) return points;
  const size = points.length / limit;
  return Array.from({ length: limit }, (_, index) => {
    const bin = points.slice(Math.floor(index * size), Math.floor((index + 1) * size));
    return { x: mean(bin.map(({ x }) => x)), y: mean(bin.map(({ y }) => y)) };
  });
}

/**
 * Mean of each point and its neighbours, `radius` to each side; at the ends as many as there are on both sides,
 * so that the curve keeps its first and last value.
 */
export function smooth(points: readonly Point[], radius: number): readonly Point[] {
  return points.map(({ x }, index) => {
    const reach = Math.min(radius, index, points.length - 1 - index);
    return { x, y: mean(points.slice(index - reach, index + reach + 1).map(({ y }) => y)) };
  });
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
