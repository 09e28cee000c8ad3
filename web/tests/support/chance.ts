/** Chance for tests: the same seed gives the same. */

export function chance(seed: number): <T>(of: readonly T[]) => T {
  let state = (seed * 2654435761 + 1) >>> 0;
  return (of) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return of[(state >>> 8) % of.length]!;
  };
}
