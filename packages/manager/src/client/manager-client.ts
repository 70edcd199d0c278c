import { join } from "node:path";
import { type Directories, layout } from "../bundles/directories.ts";
import { parseIdentifier } from "../bundles/identifier.ts";
import type { Services } from "../grpc/services.ts";
import type { Syscalls } from "../host/syscalls.ts";
import type { ContainerNetworks } from "../network/container-networks.ts";
import type { FifoSet, StdioRequest } from "../stdio/fifo-set.ts";

/** A client of the manager for one namespace, wherever the manager is: in a daemon or in this process. */
export interface ManagerClient extends AsyncDisposable {
  readonly namespace: string;
  readonly services: Services;
  /** Where the client keeps what it needs beside the services; a daemon need not have the same. */
  readonly directories: Directories;
  /** Path of the daemon's socket; undefined where the manager is in this process. */
  readonly address: string | undefined;
  readonly syscalls: () => Syscalls;
  /** Loaded at the first use. */
  networks(): Promise<ContainerNetworks>;
  /** FIFOs for a process that the caller is attached to. */
  openStdio(request: StdioRequest): Promise<FifoSet>;
  /** Raw mode for the caller's own terminal, until disposed. */
  rawTerminal(fd: number): Disposable;
}

/** The client's own folder of a container: output, host files, and what was written above a directory that is its image. */
export function containerFolder({ directories, namespace }: ManagerClient, id: string): string {
  return join(layout.containers(directories, namespace), parseIdentifier("id", id));
}
