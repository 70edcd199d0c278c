import type { Exit, RequestKey } from "@trimaran/shim-core";
import type { AgentConnection } from "../agent/connection.ts";

const SIGNAL_BASE = 128;
const LAST_SIGNAL = 64;
const STATUS_LIMIT = 255;
const READ_BYTES = 128 * 1024;

/** Where the streams of a process stand. */
export interface StreamOffsets {
  readonly stdinOffset: bigint;
  readonly stdinClosed: boolean;
  /** The first byte that the guest still has. */
  readonly stdoutOffset: bigint;
  readonly stderrOffset: bigint;
}

/** Output, from `offset` on. */
export interface Output {
  readonly offset: number;
  readonly data: Uint8Array;
  /** There will be no more after `data`. */
  readonly end: boolean;
}

/** How a process in the guest has ended, as the guest says. */
export interface RemoteExit {
  readonly exit: Exit;
  readonly exitedAtNs: bigint;
  readonly oomKills: number;
  /** Offsets that its output had reached by then. */
  readonly reached: { readonly stdout: number; readonly stderr: number };
}

/** A process in the guest, by way of whoever runs it there. */
export interface RemoteProcess {
  /** For a task server that finds it running. */
  offsets(): Promise<StreamOffsets>;
  /** Output from an offset on, once there is some, or its end. What is before the offset is in its place on the host. */
  read(stream: 1 | 2, offset: number): Promise<Output>;
  /** Input from an offset on, or its end, which is all that is left to say. Resolves once its pipe has it, with whether more is wanted. */
  write(offset: number, data: Uint8Array, end: boolean): Promise<boolean>;
  resize(width: number, height: number): Promise<void>;
  ended(): Promise<RemoteExit>;
  /** Default: by the agent. */
  signal?(signal: number, once: RequestKey | undefined): Promise<void>;
}

/** One that the agent runs. */
export class AgentProcess implements RemoteProcess {
  readonly #agent: AgentConnection;
  readonly #name: { readonly id: string; readonly execId: string };

  constructor(agent: AgentConnection, id: string, execId: string) {
    this.#agent = agent;
    this.#name = { id, execId };
  }

  offsets(): Promise<StreamOffsets> {
    return this.#agent.call((services, options) => services.agent.inspectProcess(this.#name, options));
  }

  async read(stream: 1 | 2, offset: number): Promise<Output> {
    const agent = this.#agent;
    const request = { ...this.#name, stream, offset, maxBytes: READ_BYTES };
    const { data, end } = await agent.call((services) => services.agent.readOutput(request), { limitMs: 0 });
    if (data.length > READ_BYTES) throw agent.lie(`${data.length} bytes of output, ${READ_BYTES} were asked for`);
    if (data.length === 0 && !end) throw agent.lie("answers a read with nothing");
    return { offset, data, end };
  }

  async write(offset: number, data: Uint8Array, end: boolean): Promise<boolean> {
    const request = { ...this.#name, offset: BigInt(offset), data, end };
    const { closed } = await this.#agent.call((services) => services.agent.writeInput(request), { limitMs: 0 });
    return !closed;
  }

  async resize(width: number, height: number): Promise<void> {
    const request = { ...this.#name, width, height };
    await this.#agent.call(({ tasks }, options) => tasks.resizePty(request, options));
  }

  async ended(): Promise<RemoteExit> {
    const name = this.#name;
    const exit = await this.#agent.call((services) => services.agent.waitProcess(name), { limitMs: 0 });
    return {
      exit: toExit(exit.exitStatus),
      exitedAtNs: exit.exitedAtNs,
      oomKills: exit.oomKills,
      reached: { stdout: Number(exit.stdoutOffset), stderr: Number(exit.stderrOffset) },
    };
  }
}

/** The guest says 128 + n for a death by signal n; a status that is none is an unknown one. */
function toExit(status: number): Exit {
  if (status > STATUS_LIMIT) return { kind: "lost", why: `agent: exit status ${status}` };
  if (status > SIGNAL_BASE && status <= SIGNAL_BASE + LAST_SIGNAL)
    return { kind: "signaled", signal: status - SIGNAL_BASE };
  return { kind: "exited", code: status };
}
