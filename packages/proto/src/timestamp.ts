import type { google } from "./gen/codec.js";

const NS_PER_SECOND = 1_000_000_000n;

/** google.protobuf.Timestamp. */
export type Timestamp = google.protobuf.Timestamp;

/** Go's zero time, year 1: containerd's "not yet", as a count of nanoseconds since 1970. */
export const GO_ZERO_TIME: bigint = -62135596800n * NS_PER_SECOND;

/** From nanoseconds since 1970, negative ones too; `nanos` of the result is always 0 to 999999999. */
export function toTimestamp(ns: bigint): Timestamp {
  let seconds = ns / NS_PER_SECOND;
  if (ns % NS_PER_SECOND < 0n) seconds -= 1n;
  return { seconds, nanos: Number(ns - seconds * NS_PER_SECOND) };
}

/** To nanoseconds since 1970. */
export function fromTimestamp(timestamp: Timestamp): bigint {
  return timestamp.seconds * NS_PER_SECOND + BigInt(timestamp.nanos);
}
