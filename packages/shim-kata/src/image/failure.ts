import { Code, StatusError } from "ttrpc-ts";

/** What to type when an image is missing or can't be used. */
export const BUILD_HINT = "trimaran kata image build";

/** An image, or something that it is made of, can't be had: FailedPrecondition, with the command that helps. */
export function imageFailure(what: string, cause: unknown, hint = BUILD_HINT): StatusError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new StatusError(Code.FailedPrecondition, `guest image: ${what}: ${why}; ${hint}`, { cause });
}
