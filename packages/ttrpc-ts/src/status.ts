/** gRPC's numbers; ttrpc uses the same. 0 is success and never an error's code. */
export const Code = {
  Canceled: 1,
  Unknown: 2,
  InvalidArgument: 3,
  DeadlineExceeded: 4,
  NotFound: 5,
  AlreadyExists: 6,
  PermissionDenied: 7,
  ResourceExhausted: 8,
  FailedPrecondition: 9,
  Aborted: 10,
  OutOfRange: 11,
  Unimplemented: 12,
  Internal: 13,
  Unavailable: 14,
  DataLoss: 15,
  Unauthenticated: 16,
} as const;
export type Code = (typeof Code)[keyof typeof Code];

const CODES: ReadonlyMap<number, Code> = new Map(Object.values(Code).map((code) => [code, code]));

/** What crosses the wire, and nothing else does. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A code from the wire. Numbers that nobody has defined are Unknown. */
export function parseCode(value: number): Code {
  return CODES.get(value) ?? Code.Unknown;
}

/** What every open and later call gets once a connection is gone. containerd compares with exactly this text. */
export function closedError(cause?: unknown): StatusError {
  return new StatusError(Code.Unknown, "ttrpc: closed", cause === undefined ? {} : { cause });
}

/** A call's time is over. */
export function deadlineError(): StatusError {
  return new StatusError(Code.DeadlineExceeded, "context deadline exceeded");
}

/** The caller has given up. */
export function canceledError(cause?: unknown): StatusError {
  return new StatusError(Code.Canceled, "context canceled", { cause });
}
