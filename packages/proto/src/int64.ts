/** What a 64-bit field takes: a bigint, or a number that is a safe integer. Decoding always gives a bigint. */
export type Int64 = bigint | number;

/** An object of the `long` package, as other protobuf code has it. */
interface LongLike {
  readonly low: number;
  readonly high: number;
  readonly unsigned: boolean;
}

/** Exact value of a 64-bit field, whatever it comes as. Throws RangeError for a number that is not an integer. */
export function toBigInt(value: Int64 | LongLike): bigint {
  if (typeof value !== "object") return BigInt(value);
  const bits = (BigInt(value.high >>> 0) << 32n) | BigInt(value.low >>> 0);
  return value.unsigned ? bits : BigInt.asIntN(64, bits);
}

/** A value for a 64-bit field: the codec takes bigints as they are, so this only checks the range (0 to 2^64-1, or signed). */
export function toLong(value: Int64): bigint {
  const big = BigInt(value);
  if (big < -(1n << 63n) || big >= 1n << 64n) throw new RangeError(`${big} does not fit into 64 bits`);
  return big;
}
