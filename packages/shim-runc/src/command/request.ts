import type { RootfsMount } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";

/** A container, or one more process of it, whose program is asked for. */
export interface ProgramTarget {
  /** For the reader. */
  readonly name: string;
  readonly id: string;
  /** Path of the bundle: it need not exist where `rootfs` has mounts. */
  readonly bundle: string;
  /** config.json. */
  readonly config: unknown;
  /** Create's mounts; empty: the spec's `root.path`. */
  readonly rootfs: readonly RootfsMount[];
  /** One more process: the OCI process, and the pid of the container's init. */
  readonly exec?: { readonly process: unknown; readonly pid: number };
}

/** A layer of a container, topmost first. */
export interface LayerLine {
  readonly directory: string;
  readonly sizeBytes?: number;
}

/** A running container that is to be looked at. */
export interface ContainerTarget {
  readonly id: string;
  readonly runtime: string;
  readonly image: string;
  readonly pid: number;
  readonly layers: readonly LayerLine[];
  /** The id of its pod's sandbox; empty: none. */
  readonly sandbox: string;
  /** Other running containers. */
  readonly others: readonly { readonly name: string; readonly pid: number }[];
}

/** What `trimaran explain` asks, as one JSON document on stdin. It comes from our own command; what is missing makes it fail. */
export type ExplainRequest =
  | {
      readonly kind: "program";
      readonly json: boolean;
      readonly target: ProgramTarget;
      readonly against?: ProgramTarget;
    }
  | { readonly kind: "container"; readonly json: boolean; readonly target: ContainerTarget };

/** Throws InvalidArgument for what is no request. */
export function parseRequest(text: string): ExplainRequest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new StatusError(Code.InvalidArgument, "explain: no JSON on stdin", { cause: error });
  }
  const { kind } = (value ?? {}) as { kind?: unknown };
  if (kind === "program" || kind === "container") return value as ExplainRequest;
  throw new StatusError(Code.InvalidArgument, `explain: kind ${JSON.stringify(kind)} is not known`);
}
