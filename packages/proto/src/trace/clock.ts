const NS_PER_MS = 1_000_000n;
/** How far the clocks may have drifted apart since the process began, before what was measured then is no longer used. */
const DRIFT_LIMIT_NS = 2n * NS_PER_MS;

/** CLOCK_MONOTONIC, in nanoseconds: the same in every process of the host. */
export function monotonicNs(): bigint {
  return process.hrtime.bigint();
}

/**
 * CLOCK_REALTIME - CLOCK_MONOTONIC. Node knows it to the microsecond as of its own start; where somebody has set the clock since, to the
 * millisecond.
 */
export function unixOffsetNs(): bigint {
  const now = monotonicNs();
  const rough = BigInt(Date.now()) * NS_PER_MS - now;
  const fine = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n - now;
  const drift = fine > rough ? fine - rough : rough - fine;
  return drift <= DRIFT_LIMIT_NS ? fine : rough;
}
