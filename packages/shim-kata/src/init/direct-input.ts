import { newProgram, SLOT } from "@trimaran/shim-core";
import type { AgentConnection } from "../agent/connection.ts";
import { AgentProcess } from "../container/remote-process.ts";
import type { DirectInput } from "../exec/direct-process.ts";
import type { GuestEntry } from "../exec/guest-monitor.ts";

const F_GETFD = 1;
/** What an empty pipe takes. */
const PIPE_BYTES = 65_536;
/** Names the one write that is done without the agent; containerd's connections have small numbers. */
const FIRST_WRITE = { conn: 0xffff_ffff, stream: 1 };

/** What it is made of. */
export interface DirectInputParts {
  readonly id: string;
  readonly entry: GuestEntry;
  readonly agent: AgentConnection;
  /** The agent knows the container, and is the writer of its FIFO. */
  readonly adopt: () => Promise<void>;
  /** Whether that has begun. */
  readonly isAdopted: () => boolean;
  /** Nobody but this task server can have written into it, or have told the agent of it. */
  readonly isFresh: boolean;
}

/**
 * Input of a machine's first container. Its end, which for most is all of it, is a descriptor less in the guest; so is the first piece a write there, which must not wait while
 * the agent is told of the container. All that comes later is the agent's to write.
 */
export class FirstInput implements DirectInput {
  readonly #parts: DirectInputParts;
  readonly #byAgent: AgentProcess;
  #isAgents: boolean;
  /** Written without the agent, which counts from there. */
  #writtenBytes = 0;

  constructor(parts: DirectInputParts) {
    this.#parts = parts;
    this.#byAgent = new AgentProcess(parts.agent, parts.id, "");
    this.#isAgents = !parts.isFresh;
  }

  async offsets() {
    await this.#parts.adopt();
    return await this.#byAgent.offsets();
  }

  async write(offset: number, data: Uint8Array, end: boolean): Promise<boolean> {
    if (!this.#isAgents && !this.#parts.isAdopted()) {
      if (data.length === 0 && end) return await this.#end();
      this.#isAgents = true;
      if (data.length <= PIPE_BYTES) {
        await this.#writeFirst(data);
        this.#writtenBytes = data.length;
        await this.#parts.adopt();
        return true;
      }
    }
    await this.#parts.adopt();
    return await this.#byAgent.write(offset - this.#writtenBytes, data, end);
  }

  async #end(): Promise<boolean> {
    await dropHold(this.#parts.entry);
    return false;
  }

  /** The pipe is empty, so it takes all; what is asked again, because a connection was lost, is not written again. */
  async #writeFirst(data: Uint8Array): Promise<void> {
    const builder = newProgram("stdin");
    builder.sys("write", [{ kind: "slot", index: SLOT.stdinHold }, builder.data.bytes(data, 1), data.length]);
    const program = builder.build().bytes;
    await this.#parts.entry.run(program, FIRST_WRITE).catch(() => this.#parts.entry.run(program, FIRST_WRITE));
  }
}

/** Whether the guest's monitor keeps the FIFO open: nobody else is a writer then. */
export async function holdsInput(entry: GuestEntry): Promise<boolean> {
  const builder = newProgram("stdin");
  builder.sys("fcntl", [{ kind: "slot", index: SLOT.stdinHold }, F_GETFD, 0]);
  return (await entry.run(builder.build().bytes)).errno === 0;
}

/** It keeps it open no more. */
export async function dropHold(entry: GuestEntry): Promise<void> {
  const builder = newProgram("stdin");
  builder.op("DROP", [SLOT.stdinHold]);
  await entry.run(builder.build().bytes);
}
