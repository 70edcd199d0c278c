import { DEFAULT_DIRECTORIES, type Directories } from "../bundles/directories.ts";
import type { Logger } from "../host/logger.ts";
import type { HttpAddress } from "../http/serve-http.ts";

/** What a daemon is opened with. */
export interface DaemonOptions {
  /** Absolute; made when needed. */
  readonly directories: Directories;
  /** Path of the gRPC socket; shims get the same name with `.ttrpc`. */
  readonly address: string;
  /** Where shims are looked for, in this order. */
  readonly shimDirectories: readonly string[];
  /** Given to shims, with the contract's own variables added. */
  readonly environment: NodeJS.ProcessEnv;
  /** What shims are told to exec for publishing without ttrpc. */
  readonly publishBinary: string;
  /** Start shims with -debug. */
  readonly debug: boolean;
  readonly version: string;
  /** Serve Prometheus' text of this node there. Undefined: it is told on `metrics.sock` of the state directory alone. */
  readonly metrics?: { readonly address: HttpAddress; readonly taskServers: string } | undefined;
  readonly log: Logger;
}

/** Where a daemon keeps things unless it is told: where commands without one do, so that nothing is lost on the way to having one. */
export const DEFAULT_DAEMON_DIRECTORIES: Directories = DEFAULT_DIRECTORIES;
