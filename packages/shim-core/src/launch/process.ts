import { type Cgroup, describeFailure, type Process, parseExecProcess } from "@trimaran/linux";
import { Code, StatusError } from "ttrpc-ts";
import type { Handlers, Host } from "../host/host.ts";
import type { MonitoredProcess } from "../host/process.ts";
import type { StdioUris } from "../stdio/uris.ts";
import type { CreateRequest } from "../task/record.ts";
import { processProgram } from "./process-program.ts";

/** A process of a container that is one of the host's. */
export interface ProcessLaunch {
  readonly container: CreateRequest;
  /** Of config.json, or as Exec brings it, untrusted. Heeded: args, env, user, rlimits, noNewPrivileges. */
  readonly process: Process | Uint8Array;
  /** Its directory, absolute. */
  readonly cwd: string;
  readonly stdio: StdioUris;
  readonly cgroup: Cgroup;
  /** Wait at the start gate: for init. Default: no. */
  readonly gate?: boolean;
}

/**
 * Run a plain process of the host under a key; a key that is there already gives its process. Resolves once it waits at its gate, or
 * runs. Throws what is wrong with it, and leaves nothing then.
 */
export async function launchProcess(host: Host, key: string, launch: ProcessLaunch): Promise<MonitoredProcess> {
  const { container, cwd, cgroup, gate = false } = launch;
  const process = launch.process instanceof Uint8Array ? parseExecProcess(launch.process) : launch.process;
  const stdio = await host.openStdio(key, launch.stdio, { ...container, owner: process.user });
  const into = cgroup.unifiedDirectory();
  const attachFiles = cgroup.attachFiles({ clonedIntoUnified: true });
  const program = processProgram({
    process: { ...process, cwd },
    stdio: stdio.plan,
    cgroup: { attachFiles, ...(into === undefined ? {} : { into }) },
    gate,
  });
  const launched = host.launch(key, {
    ...HANDLERS,
    program: program.bytes,
    stdio,
    describe: (step, errno) => new StatusError(Code.Unknown, describeFailure(program, step, errno)),
  });
  try {
    await (gate ? launched.reachedGate() : launched.execed());
    return launched;
  } catch (error) {
    await launched.exited(); // its program failed, so it ends by itself
    host.forget(key);
    throw error;
  }
}

/** The same process, after a restart of the task server. Its program is gone, and with it the names of its steps. */
export function findProcess(host: Host, key: string): MonitoredProcess {
  return host.find(key, HANDLERS);
}

const HANDLERS: Handlers = {
  describe: (step, errno) => new StatusError(Code.Unknown, `step ${step}: errno ${errno}`),
  onSync: () => 0n, // the terminal: the monitor has put it into its slot
};
