import { CgroupError, InvalidSpec, SeccompError, SyscallError } from "@trimaran/linux";
import { Code, StatusError } from "ttrpc-ts";

/**
 * Pick the code for an error that leaves the service. Lower layers throw what they know; what nobody foresaw is a bug of ours, and
 * Internal.
 */
export function toStatus(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  if (error instanceof InvalidSpec || error instanceof SeccompError)
    return new StatusError(Code.InvalidArgument, error.message, { cause: error });
  if (error instanceof CgroupError || error instanceof SyscallError)
    return new StatusError(Code.FailedPrecondition, error.message, { cause: error });
  const message = error instanceof Error ? error.message : String(error);
  return new StatusError(Code.Internal, message, { cause: error });
}
