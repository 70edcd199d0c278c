import { Code, StatusError } from "./status.ts";

const BY_NAME: Readonly<Record<string, Code>> = {
  AbortError: Code.Canceled,
  TimeoutError: Code.DeadlineExceeded,
};
const BY_ERRNO: Readonly<Record<string, Code>> = {
  EEXIST: Code.AlreadyExists,
  ENOENT: Code.NotFound,
  EACCES: Code.PermissionDenied,
  EPERM: Code.PermissionDenied,
  EINVAL: Code.InvalidArgument,
  EPIPE: Code.FailedPrecondition,
  ERR_INVALID_ARG_TYPE: Code.InvalidArgument,
  ERR_INVALID_ARG_VALUE: Code.InvalidArgument,
};

/**
 * The status of a handler's error, as the Go server maps plain errors: a StatusError passes unchanged, a few of the
 * system's errors have a code of their own, everything else is Unknown. A Server takes another function instead.
 */
export function toStatus(error: unknown): StatusError {
  if (error instanceof StatusError) return error;
  if (!(error instanceof Error)) return new StatusError(Code.Unknown, String(error), { cause: error });
  const errno = "code" in error && typeof error.code === "string" ? error.code : "";
  return new StatusError(BY_ERRNO[errno] ?? BY_NAME[error.name] ?? Code.Unknown, error.message, { cause: error });
}
