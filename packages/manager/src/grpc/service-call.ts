import type { CallTrace } from "@trimaran/proto";
import { type Identifier, parseIdentifier } from "../bundles/identifier.ts";
import { Code, ManagerError } from "../errors/manager-error.ts";

/** What a service knows of a call: the same from the socket and from within the process. */
export interface ServiceCall {
  /** Of the metadata, unchecked: `requireNamespace` is the door. */
  readonly namespace: string | undefined;
  /** Id of a lease that what the call creates or meets shall join; unchecked. */
  readonly lease: string | undefined;
  /** Aborts when the client cancels, goes away, or its deadline passes. The answer is dropped then. */
  readonly signal: AbortSignal;
  /** The trace that it is a part of, if the client has one; within the process it needs no telling. */
  readonly trace?: CallTrace;
}

/** The call's namespace. Throws FailedPrecondition if there is none, InvalidArgument if it is not an identifier. */
export function requireNamespace(call: ServiceCall): Identifier {
  if (call.namespace === undefined || call.namespace === "") {
    throw new ManagerError(Code.FailedPrecondition, "namespace is required");
  }
  return parseIdentifier("namespace", call.namespace);
}
