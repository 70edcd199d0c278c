import type { Writable } from "node:stream";
import type { ManagerClient } from "@trimaran/manager";
import type { Daemon } from "@trimaran/manager/daemon";
import type { HttpAddress } from "@trimaran/manager/metrics";

/** Flags that every verb which talks to the manager has. */
export interface ManagerFlags {
  readonly root?: string;
  readonly state?: string;
  /** Of a daemon's socket. */
  readonly address?: string;
  readonly namespace?: string;
  readonly debug?: boolean;
}

/** Whether a verb changes anything. */
export type Access = "read" | "write";

/** Flags of the daemon. */
export interface DaemonFlags {
  readonly root?: string;
  readonly state?: string;
  /** Of the gRPC socket. */
  readonly address?: string;
  /** Where to serve this node's metrics. */
  readonly metrics?: HttpAddress;
  readonly debug?: boolean;
}

/** The process, as commands see it; made once in `main.ts`. */
export interface CliContext {
  readonly process: { readonly stdout: Writable; readonly stderr: Writable };
  readonly stdin: NodeJS.ReadStream & { readonly fd: 0 };
  readonly environment: NodeJS.ProcessEnv;
  /** Where this installation keeps its programs: PREFIX/bin, or build/bin in a checkout. */
  readonly binDirectory: string;
  /** The Node binary that runs us. */
  readonly nodeBinary: string;
  readonly signals: SignalSource;
  openClient(flags: ManagerFlags, access: Access): Promise<ManagerClient>;
  openDaemon(flags: DaemonFlags): Promise<Daemon>;
  /** What the process will exit with. */
  setExitCode(code: number): void;
}

/** Signals that arrive at this process. While a listener is there, they do nothing else. */
export interface SignalSource {
  listen(names: readonly NodeJS.Signals[], listener: (name: NodeJS.Signals) => void): Disposable;
}

/** The default runtime: our own. */
export const DEFAULT_RUNTIME = "io.containerd.trimaran-runc.v2";
