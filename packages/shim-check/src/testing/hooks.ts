import type { Frame } from "ttrpc-ts";
import type { RecordedEvent } from "../shim/fake-containerd.ts";

/** A call that passes through. */
export interface Call {
  /** `State`. */
  readonly method: string;
  // biome-ignore lint/suspicious/noExplicitAny: a request of any method, in tests only
  readonly request: any;
  readonly streamId: number;
  /** How many calls of a method are open on all connections, this one too. */
  readonly openOf: (method: string) => number;
  /** Whether Start was asked of the request's container before. */
  readonly isStarted: boolean;
}

/** What is said instead of the real shim's answer. */
export type Answer = { readonly code: number; readonly message: string } | { readonly value: object } | "never";

/** In which way a shim is broken. What is left out is as the real shim does it. */
export interface Hooks {
  /** Answer a call instead of the real shim, which does not hear of it; or change its request in place. */
  readonly call?: (call: Call) => Answer | undefined | Promise<Answer | undefined>;
  /** Replace an answer. `answer` is decoded, or has `code` and `message`. */
  // biome-ignore lint/suspicious/noExplicitAny: an answer of any method, in tests only
  readonly answer?: (call: Call, answer: any) => Answer | undefined | Promise<Answer | undefined>;
  /** Frames from a client, before anything else; what is returned goes on. */
  readonly frame?: (frame: Frame, wire: WireControl) => readonly Frame[];
  /** Bytes from a client, as they came. */
  readonly chunk?: (bytes: Buffer, wire: WireControl) => void;
  /** The bytes of a Response's payload, before they go to the client. */
  readonly responseBytes?: (payload: Uint8Array) => Uint8Array;
  /** What is forwarded to containerd for an event. */
  readonly event?: (
    event: RecordedEvent,
    memory: RecordedEvent[],
  ) => readonly RecordedEvent[] | Promise<readonly RecordedEvent[]>;
  /** Events that cannot be sent are dropped. */
  readonly dropsEvents?: boolean;
  readonly start?: StartHooks;
  readonly delete?: DeleteHooks;
  /** The output of -info, or of -v. */
  readonly info?: (stdout: Buffer, flag: string) => Buffer | Promise<Buffer>;
  readonly daemon?: DaemonHooks;
}

/** What a hook may do with a client's connection. */
export interface WireControl {
  /** For the hook's own use. */
  readonly seen: Set<number>;
  /** Send a Response to the client. */
  respond(streamId: number, payload: Uint8Array): void;
  /** End the connection. */
  close(): void;
}

export interface StartHooks {
  readonly flags?: (argv: readonly string[]) => readonly string[];
  readonly stdin?: (bytes: Buffer) => Buffer;
  readonly stdout?: (bytes: Buffer, address: string) => Buffer;
  readonly stderr?: string;
  /** The daemon keeps the pipe. */
  readonly holdsPipes?: boolean;
  readonly swallowsFailure?: boolean;
  /** Each start makes a daemon of its own. */
  readonly ignoresOthers?: boolean;
  readonly refusesOldSocket?: boolean;
  readonly removesAddressFile?: boolean;
  readonly socketMode?: number;
  readonly env?: NodeJS.ProcessEnv;
}

export interface DeleteHooks {
  /** The real delete is not run. */
  readonly isNothing?: boolean;
  readonly delayMs?: number;
  readonly fails?: boolean;
  readonly holdsPipes?: boolean;
  readonly keepsSocket?: boolean;
  readonly stdout?: (bytes: Buffer) => Buffer;
}

export interface DaemonHooks {
  readonly isInGroup?: boolean;
  readonly keepsOomScore?: boolean;
  readonly endsWithClient?: boolean;
  readonly ignoresTerm?: boolean;
}
