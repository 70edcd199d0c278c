import type { Code } from "ttrpc-ts";
import type { RequestKey } from "../host/process.ts";
import type { StdioUris } from "../stdio/uris.ts";
import type { ProcessState } from "./lifecycle.ts";

/** A mount as containerd hands it over in Create. Source: containerd.types.Mount. */
export interface RootfsMount {
  readonly type: string;
  readonly source: string;
  readonly target: string;
  readonly options: readonly string[];
}

/** What Create asked for; everything a restarted task server needs to know of a container, with its bundle. */
export interface CreateRequest {
  readonly id: string;
  readonly namespace: string;
  readonly bundle: string;
  readonly rootfs: readonly RootfsMount[];
  readonly stdio: StdioUris;
  /** Directory of a checkpoint that Start is to restore. */
  readonly checkpoint?: string;
  /** Runtime options, weakest first: those of `start`, then those of Create; a runtime merges them field by field. */
  readonly options: readonly { readonly typeUrl: string; readonly value: Uint8Array }[];
}

/** What Exec asked for. `spec` is the OCI process, still untrusted JSON. */
export interface ExecRequest {
  readonly id: string;
  readonly stdio: StdioUris;
  readonly spec: Uint8Array;
}

/** What Kill asked for: of init where `execId` is empty, of every process of the container with `all`. */
export interface SignalRequest {
  readonly execId: string;
  readonly signal: number;
  readonly all: boolean;
  readonly key: RequestKey;
  /** It was asked for before: the signal may have been sent, and have worked. */
  readonly replayed: boolean;
}

/**
 * The part of a process that outlives the task server: kept by the monitor as a note. `by…` name the request (connection:stream)
 * that did a step, so that its replay is recognised.
 */
export interface ProcessRecord {
  readonly state: ProcessState;
  readonly addedBy: string;
  readonly startedBy?: string;
  /** Set when Delete has done its work and only its answer may be missing. For anybody else it is gone. */
  readonly deletedBy?: string;
}

export interface TaskRecord extends ProcessRecord {
  readonly request: CreateRequest;
  /** Start's error: a replay gets it again, also after init's end. */
  readonly startFailure?: { readonly by: string; readonly code: Code; readonly why: string };
  /** OOM kills already published. */
  readonly oomKills: number;
}

export interface ExecRecord extends ProcessRecord {
  readonly request: ExecRequest;
  /** CloseIO came before Start. */
  readonly stdinClosed?: boolean;
  /** Its client has sent SIGKILL. */
  readonly isKilled?: boolean;
}

/** Encode for a note. JSON, with bytes as base64 and 64-bit integers as text. */
export function encodeRecord(record: TaskRecord | ExecRecord): Uint8Array {
  return Buffer.from(
    JSON.stringify(record, function (this: Readonly<Record<string, unknown>>, key, value: unknown) {
      const bytes = this[key]; // `value` is what a Buffer's toJSON has made of it: an array of numbers, four times as long
      if (bytes instanceof Uint8Array) return { "": "b", v: Buffer.from(bytes).toString("base64") };
      if (typeof value === "bigint") return { "": "n", v: value.toString() };
      return value;
    }),
  );
}

/** Decode a note of our own; only another version of ourselves could have written it differently. */
export function decodeRecord<T extends TaskRecord | ExecRecord>(bytes: Uint8Array): T {
  const record: unknown = JSON.parse(Buffer.from(bytes).toString(), (_key, value: unknown) => {
    if (typeof value !== "object" || value === null) return value;
    if ("type" in value && value.type === "Buffer" && "data" in value && Array.isArray(value.data))
      return Buffer.from(value.data); // of a monitor that has outlived an older task server
    if ("" in value && value[""] === "b" && "v" in value) return Buffer.from(String(value.v), "base64");
    if ("" in value && value[""] === "n" && "v" in value) return BigInt(String(value.v));
    return value;
  });
  return record as T;
}
