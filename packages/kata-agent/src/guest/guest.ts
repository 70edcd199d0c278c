import { readFileSync } from "node:fs";
import { availableParallelism, freemem, release, totalmem, uptime } from "node:os";
import type { trimaran } from "@trimaran/proto";
import { Code, StatusError } from "ttrpc-ts";

type Refresh = trimaran.agent.v1.RefreshRequest;
type Network = trimaran.agent.v1.ConfigureNetworkRequest;
type Disk = trimaran.agent.v1.FindDiskResponse;

/** The machine that the agent runs: what only its init may change. */
export interface Guest {
  refresh(request: Refresh): Promise<void>;
  /** `ahead`: resolve when it is mounted, though nobody may be there yet who answers. */
  mountShare(target: string, ahead: boolean): Promise<void>;
  /** Files below the share were taken away on the host. */
  forgetFiles(path: string): Promise<void>;
  configureNetwork(request: Network): Promise<void>;
  /** One that the host has put in; resolves once it is there. */
  findDisk(lun: number): Promise<Disk>;
  /** What was written into files, by mappings too, is with the host. */
  flush(): Promise<void>;
  powerOff(): void;
  details(): Details;
}

/** Figures of the guest; the details that Hello has not. */
export type Details = trimaran.agent.v1.GuestDetailsResponse;

/** What everybody may read. `pids`: of the agent's own processes. */
export function readDetails(pids: readonly number[]): Details {
  return {
    kernel: release(),
    memoryBytes: BigInt(totalmem()),
    memoryFreeBytes: BigInt(freemem()),
    cpus: availableParallelism(),
    uptimeMs: BigInt(Math.round(uptime() * 1000)),
    agentBytes: BigInt(pids.reduce((sum, pid) => sum + residentBytes(pid), 0)),
  };
}

function residentBytes(pid: number): number {
  try {
    const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    return Number(kilobytes ?? 0) * 1024;
  } catch {
    return 0; // it has just ended
  }
}

/** A plain process is no machine's init: it changes nothing of the machine. */
export class NoGuest implements Guest {
  readonly #end: () => void;

  /** `end`: ends the process. */
  constructor(end: () => void) {
    this.#end = end;
  }

  async refresh(): Promise<void> {
    throw notInit("refresh");
  }

  async mountShare(): Promise<void> {
    throw notInit("mount a share");
  }

  /** It remembers none. */
  async forgetFiles(): Promise<void> {}

  async configureNetwork(): Promise<void> {
    throw notInit("configure the network");
  }

  async findDisk(): Promise<never> {
    throw notInit("find a disk");
  }

  /** Its files are the host's. */
  async flush(): Promise<void> {}

  powerOff(): void {
    this.#end();
  }

  details(): Details {
    return readDetails([process.pid]);
  }
}

function notInit(what: string): StatusError {
  return new StatusError(Code.FailedPrecondition, `cannot ${what}: this agent is not a machine's init`);
}
