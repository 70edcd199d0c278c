import { type Code, StatusError } from "ttrpc-ts";

export { Code, StatusError } from "ttrpc-ts";

/**
 * What a caller of the manager gets to see: one sentence (lower case, field first, no full stop) and, where there is one, the
 * next command to type. A gRPC service sends `code` and `message` as they are. Errors of a shim pass as plain StatusErrors.
 */
export class ManagerError extends StatusError {
  readonly hint: string | undefined;

  constructor(code: Code, message: string, options: ErrorOptions & { readonly hint?: string } = {}) {
    super(code, message, options.cause === undefined ? {} : { cause: options.cause });
    this.hint = options.hint;
  }
}

/** Whether an error is a status with that code, of the manager or of a shim. */
export function hasCode(error: unknown, code: Code): boolean {
  return error instanceof StatusError && error.code === code;
}

/** The errno of a failed file or socket operation ("ENOENT"), if the error is one. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** The sentence of an error, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
