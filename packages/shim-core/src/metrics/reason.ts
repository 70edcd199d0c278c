import { Code } from "ttrpc-ts";
import { toStatus } from "../to-status.ts";

/** Why a request failed: gRPC's name of the code that it was answered with, a closed set. */
export type FailureReason = string & { readonly [brand]: "FailureReason" };
declare const brand: unique symbol;

const NAMES = new Map(
  Object.entries(Code).map(([name, code]) => [code, name.replaceAll(/(?<=[a-z])[A-Z]/g, "_$&").toLowerCase()]),
);

/** `invalid_argument` of an error that names a field, say. What nobody foresaw is `internal`. */
export function reasonOf(error: unknown): FailureReason {
  return (NAMES.get(toStatus(error).code) ?? "internal") as FailureReason;
}
