import { containerd } from "@trimaran/proto";
import { Code, ManagerError } from "../errors/manager-error.ts";

/** Where a shim listens and what it speaks there. */
export interface ShimEndpoint {
  /** 2: service containerd.task.v2.Task; 3: containerd.task.v3.Task, perhaps with v2 beside it. */
  readonly version: 2 | 3;
  /** As the shim printed it. */
  readonly address: string;
  readonly protocol: "ttrpc";
}

const ADDRESS_LIMIT_BYTES = 4096;

/**
 * What `start` has printed: a protobuf BootstrapResult (containerd 2.3 and later), a JSON line, or a bare address. They are
 * tried in that order. Throws FailedPrecondition with the output, for a shim that prints anything else is broken.
 */
export function parseShimReply(output: Uint8Array): ShimEndpoint {
  const result = parseProtobuf(output) ?? parseJson(output) ?? parseText(output);
  const shown = JSON.stringify(Buffer.from(output).toString("utf8").slice(0, 400));
  if (result === undefined) {
    throw new ManagerError(Code.FailedPrecondition, `shim's start: cannot read its reply ${shown}`);
  }
  if (result.protocol !== "ttrpc") {
    throw new ManagerError(
      Code.Unimplemented,
      `shim's start: protocol ${JSON.stringify(result.protocol)} is not ttrpc`,
    );
  }
  if (result.version !== 2 && result.version !== 3) {
    throw new ManagerError(Code.Unimplemented, `shim's start: version ${result.version} is neither 2 nor 3`);
  }
  return { version: result.version, address: result.address, protocol: "ttrpc" };
}

interface RawReply {
  readonly version: number;
  readonly address: string;
  readonly protocol: string;
}

function parseProtobuf(output: Uint8Array): RawReply | undefined {
  // Field 1 comes first and is a varint. Text and JSON begin with other bytes ("{" is a group that nobody can end).
  if (output[0] !== 0x08) return undefined;
  try {
    const { version, address, protocol } = containerd.runtime.bootstrap.v1.BootstrapResult.decode(output);
    return isAddress(address) ? { version, address, protocol } : undefined;
  } catch {
    return undefined;
  }
}

function parseJson(output: Uint8Array): RawReply | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(output).toString("utf8"));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { version, address, protocol = "ttrpc" } = value as Record<string, unknown>;
  if (typeof version !== "number" || typeof address !== "string" || typeof protocol !== "string") return undefined;
  return isAddress(address) ? { version, address, protocol } : undefined;
}

function parseText(output: Uint8Array): RawReply | undefined {
  const address = Buffer.from(output).toString("utf8").trim();
  return isAddress(address) && !address.startsWith("{") ? { version: 2, address, protocol: "ttrpc" } : undefined;
}

function isAddress(text: string): boolean {
  return text.length > 0 && text.length <= ADDRESS_LIMIT_BYTES && !/[\s\p{Cc}\ufffd]/u.test(text);
}

/** The path to connect to: `unix:///path`, a path, or an abstract name (given to Node with a leading NUL). */
export function socketPath(address: string): string {
  const path = address.startsWith("unix://") ? address.slice("unix://".length) : address;
  if (path.startsWith("/")) return path;
  if (path.includes("://")) {
    throw new ManagerError(
      Code.Unimplemented,
      `shim's address ${JSON.stringify(address)}: only unix sockets are supported`,
    );
  }
  return `\0${path}`;
}
