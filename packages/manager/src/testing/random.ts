/** Numbers from 0 to below `limit`; the same ones for the same seed (xorshift32), so that a failure can be repeated. */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = (seed * 2654435761 + 1) >>> 0 || 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % limit;
  };
}
