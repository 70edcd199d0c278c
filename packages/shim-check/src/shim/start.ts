import { spawn } from "node:child_process";
import { containerd, google } from "@trimaran/proto";
import type { FakeContainerd } from "./fake-containerd.ts";

/**
 * The containerd that is imitated towards `start`: 1.6 (reply is text), 2.1 (JSON), 2.3 (BootstrapParams in, protobuf out).
 * See the shim-v2 contract, sections 2.3 to 2.5.
 */
export type StartStyle = "1.6" | "2.1" | "2.3";

/** How a shim binary is to be invoked. */
export interface ShimOptions {
  /** Path of the shim binary. */
  readonly binary: string;
  readonly containerd: FakeContainerd;
  readonly namespace: string;
  readonly id: string;
  /** Folder of the bundle: the cwd. */
  readonly bundle: string;
  readonly style?: StartStyle;
  readonly debug?: boolean;
  /** Runtime options for stdin. */
  readonly options?: google.protobuf.Any;
  /** Added to the environment; PATH decides which runc is used. */
  readonly env?: NodeJS.ProcessEnv;
  /** How a flag and its value are written. Default: as containerd does, `-x v`. */
  readonly flag?: (name: string, value: string) => readonly string[];
  /** 2.3 only: where the socket is to be. */
  readonly socketDir?: string;
  /** How the binary is executed. Default: `invoke`. */
  readonly invoke?: Invoke;
}

/** Exec a shim's binary, to its end. */
export type Invoke = (
  shim: ShimOptions,
  action: "start" | "delete" | "-info",
  flags?: readonly string[],
) => Promise<Invocation>;

/** What `start` has answered. */
export interface StartReply {
  readonly form: "text" | "json" | "protobuf";
  readonly version: number;
  /** With `unix://`. */
  readonly address: string;
  readonly protocol: string;
}

/** What an invocation has written, and how it ended. */
export interface Invocation {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  /** From its exit to the end of its pipes: more than a moment, if another process has kept them. */
  readonly pipesHeldMs: number;
}

/** What containerd gives a shim's binary. */
export interface CommandLine {
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  readonly input: Uint8Array;
}

/** The arguments, environment and stdin of an invocation. */
export function commandLine(
  shim: ShimOptions,
  action: "start" | "delete" | "-info",
  flags: readonly string[] = [],
): CommandLine {
  const { containerd: peer, namespace, id, style = "1.6", flag = (name, value) => [`-${name}`, value] } = shim;
  const publisher = "/usr/bin/containerd";
  const named = { namespace, address: peer.address, "publish-binary": publisher, id };
  const common = Object.entries(named).flatMap(([name, value]) => flag(name, value));
  return {
    args: action === "-info" ? ["-info"] : [...common, ...(shim.debug === true ? ["-debug"] : []), ...flags, action],
    environment: { ...process.env, ...environment(shim, style), ...shim.env },
    input: action === "start" ? startInput(shim, style) : new Uint8Array(),
  };
}

/** Exec the binary with `start`, `delete` or -info as containerd does, until its pipes are closed by everybody. */
export const invoke: Invoke = (shim, action, flags) => {
  const { args, environment: env, input } = commandLine(shim, action, flags);
  const child = spawn(shim.binary, args, {
    cwd: shim.bundle,
    env,
    stdio: [input.length > 0 ? "pipe" : "ignore", "pipe", "pipe"],
    detached: true, // a process group of its own; and a session, which containerd does not give it
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdin?.on("error", () => undefined).end(input);
  child.stdout?.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr?.on("data", (chunk: Buffer) => stderr.push(chunk));
  return new Promise((resolve, reject) => {
    let exitedAt = 0;
    child.on("error", reject);
    child.on("exit", () => {
      exitedAt = performance.now();
    });
    child.on("close", (code) => {
      const pipesHeldMs = performance.now() - exitedAt;
      resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr), pipesHeldMs });
    });
  });
};

function environment({ containerd: peer, namespace }: ShimOptions, style: StartStyle): NodeJS.ProcessEnv {
  const always = { TTRPC_ADDRESS: `${peer.address}.ttrpc`, GOMAXPROCS: "2" };
  return style === "1.6"
    ? always
    : { ...always, GRPC_ADDRESS: peer.address, NAMESPACE: namespace, MAX_SHIM_VERSION: "2" };
}

function startInput(shim: ShimOptions, style: StartStyle): Uint8Array {
  if (style !== "2.3") return shim.options === undefined ? new Uint8Array() : google.protobuf.Any.encode(shim.options);
  return containerd.runtime.bootstrap.v1.BootstrapParams.encode({
    instanceId: shim.id,
    namespace: shim.namespace,
    containerdVersion: "v2.3.4",
    containerdTtrpcAddress: `${shim.containerd.address}.ttrpc`,
    containerdGrpcAddress: shim.containerd.address,
    containerdBinary: "/usr/bin/containerd",
    ...(shim.socketDir !== undefined && { socketDir: shim.socketDir }),
    extensions: shim.options === undefined ? [] : [{ value: shim.options }],
  });
}

/** Read the output of `start` as the newest containerd does: protobuf, then JSON, then text. Throws if it is none of them. */
export function parseReply(output: Buffer): StartReply {
  const text = output.toString().trim();
  if (text.startsWith("{")) {
    const { version, address, protocol } = JSON.parse(text);
    if (typeof address === "string" && typeof version === "number") return { form: "json", version, address, protocol };
  }
  if (/^(unix:\/\/)?\/\S+$/.test(text)) return { form: "text", version: 2, address: text, protocol: "ttrpc" };
  const { version, address, protocol } = containerd.runtime.bootstrap.v1.BootstrapResult.decode(output);
  if (!address.startsWith("unix://")) throw new Error(`start answered ${JSON.stringify(text)}`);
  return { form: "protobuf", version, address, protocol };
}
