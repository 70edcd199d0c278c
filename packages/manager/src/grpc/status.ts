import { Code, ManagerError, messageOf, StatusError } from "../errors/manager-error.ts";

/** containerd's clients tell these classes by the code, and print the phrase as part of the text. */
const PHRASES: Readonly<Partial<Record<Code, string>>> = {
  [Code.InvalidArgument]: "invalid argument",
  [Code.NotFound]: "not found",
  [Code.AlreadyExists]: "already exists",
  [Code.FailedPrecondition]: "failed precondition",
  [Code.Unimplemented]: "not implemented",
  [Code.Unavailable]: "unavailable",
};
const BY_NAME: Readonly<Record<string, Code>> = {
  AbortError: Code.Canceled,
  TimeoutError: Code.DeadlineExceeded,
};
/** The text travels in a header, where every byte may become three. */
const LIMIT_CHARACTERS = 8192;

function phrased(code: Code, message: string): string {
  const phrase = PHRASES[code];
  const cut = message.length <= LIMIT_CHARACTERS ? message : `${message.slice(0, LIMIT_CHARACTERS)}…`;
  const text = cut.toWellFormed();
  return phrase === undefined || text.endsWith(phrase) ? text : `${text}: ${phrase}`;
}

function codeOf(error: unknown): Code {
  if (error instanceof StatusError) return error.code;
  return (error instanceof Error ? BY_NAME[error.name] : undefined) ?? Code.Internal;
}

/**
 * What a client gets to see of an error: a status keeps its code, a given-up wait is Canceled or DeadlineExceeded, everything
 * else is Internal. The text ends with the phrase of its class, as containerd's does, and has at most 8192 characters more.
 */
export function toStatus(error: unknown): StatusError {
  const code = codeOf(error);
  const message = phrased(code, messageOf(error));
  if (error instanceof StatusError && error.message === message) return error;
  const hint = error instanceof ManagerError ? error.hint : undefined;
  return new ManagerError(code, message, hint === undefined ? { cause: error } : { cause: error, hint });
}
