import type { CallOptions } from "./call-options.ts";
import { parseResponse } from "./envelope.ts";
import { Flag, type Frame, FrameType, oversizedError } from "./frame.ts";
import { Code, canceledError, deadlineError, StatusError } from "./status.ts";

const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** One call that waits for its answer: a unary call or a stream. */
export interface PendingCall {
  /** True if the call is over with this frame. */
  onFrame(frame: Frame): boolean;
  /** The call is over without an answer. */
  fail(error: StatusError): void;
}

/** The error of a call that has failed before it began, if so. Throws InvalidArgument for a timeout out of range. */
export function earlyError(options: CallOptions): StatusError | undefined {
  const { timeoutMs, signal } = options;
  if (signal?.aborted === true) return canceledError(signal.reason);
  if (timeoutMs === undefined) return undefined;
  if (timeoutMs <= 0) return deadlineError();
  if (timeoutMs <= MAX_TIMEOUT_MS) return undefined;
  return new StatusError(Code.InvalidArgument, `timeoutMs ${timeoutMs}: not a number up to ${MAX_TIMEOUT_MS}`);
}

/** Watches a call's deadline and signal. Costs nothing if it has neither. */
export function watch(options: CallOptions, giveUp: (error: StatusError) => void): (() => void) | undefined {
  const { timeoutMs, signal } = options;
  if (timeoutMs === undefined && signal === undefined) return undefined;
  const onAbort = () => giveUp(canceledError(signal?.reason));
  const timer = timeoutMs === undefined ? undefined : setTimeout(() => giveUp(deadlineError()), timeoutMs);
  signal?.addEventListener("abort", onAbort, { once: true });
  return () => {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  };
}

/** The answer in a Response frame: a message's bytes, or the error. Malformed bytes are an error of the call only. */
export function answerOf(frame: Frame): Uint8Array | StatusError {
  if (frame.oversizedBytes !== undefined) return oversizedError(frame.oversizedBytes);
  try {
    return parseResponse(frame.payload);
  } catch (cause) {
    return new StatusError(Code.Internal, "ttrpc: malformed response", { cause });
  }
}

/** The peer has sent what this call can't have. */
export function protocolError(): StatusError {
  return new StatusError(Code.Unknown, "protocol error");
}

/** Data that ends the sender's direction. */
export function endsDirection(frame: Frame): boolean {
  return frame.type === FrameType.Data && (frame.flags & Flag.RemoteClosed) !== 0;
}

/** Data that carries a message; an empty payload is one too, unless the flags deny it. */
export function hasMessage(frame: Frame): boolean {
  return (frame.flags & Flag.NoData) === 0;
}
