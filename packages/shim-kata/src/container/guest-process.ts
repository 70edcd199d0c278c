import type { ContainerProcess, ExitRecord, Host, MonitoredProcess, RequestKey, StdioUris } from "@trimaran/shim-core";
import type { AgentConnection } from "../agent/connection.ts";
import { closeHeld, countWritten, type HeldStream, pathOf } from "./holder.ts";
import { InputPump } from "./input-pump.ts";
import { OutputPump } from "./output-pump.ts";
import type { RemoteProcess } from "./remote-process.ts";

/** Output that was written before the exit is awaited as long as it gets on. */
const OUTPUT_LIMIT_MS = 250;

/** Streams of a process that nobody has talked to. */
const UNTOUCHED = { stdinOffset: 0n, stdinClosed: false, stdoutOffset: 0n, stderrOffset: 0n } as const;

/** What a process in the guest is made of. */
export interface GuestProcessParts {
  readonly host: Host;
  readonly agent: AgentConnection;
  readonly id: string;
  /** Empty: the container's init. */
  readonly execId: string;
  readonly stdio: StdioUris;
  readonly holder: MonitoredProcess;
  readonly remote: RemoteProcess;
  /** The VMM's. */
  readonly pid: number;
  /** OOM kills of the container, as its guest counts them. */
  readonly onOomKills: (kills: number) => void;
}

/** A process in the guest: its stdio is in an entry of the monitor, and its exit comes from the guest. */
export class GuestProcess implements ContainerProcess {
  readonly #parts: GuestProcessParts;
  readonly #exit = Promise.withResolvers<ExitRecord>();
  readonly #outputs: { readonly stream: HeldStream; readonly pump: OutputPump }[] = [];
  #hasExited = false;

  constructor(parts: GuestProcessParts) {
    this.#parts = parts;
  }

  get key(): string {
    return this.#parts.holder.key;
  }

  get pid(): number {
    return this.#parts.pid;
  }

  get execId(): string {
    return this.#parts.execId;
  }

  get hasExited(): boolean {
    return this.#hasExited;
  }

  exited(): Promise<ExitRecord> {
    return this.#exit.promise;
  }

  /** The monitor has moved all, which it can say only when all has come from the guest. */
  drained(): Promise<void> {
    return this.#parts.holder.drained();
  }

  run(program: Uint8Array, once?: RequestKey): Promise<{ readonly errno: number; readonly value: bigint }> {
    return this.#parts.holder.run(program, once);
  }

  async resize(width: number, height: number): Promise<void> {
    await this.#parts.remote.resize(width, height);
  }

  /** Undefined where the agent does it. */
  get signal(): RemoteProcess["signal"] {
    const { remote } = this.#parts;
    return remote.signal?.bind(remote);
  }

  /** The guest knows it: copy its stdio, and wait for its exit. After a restart of the task server too: then where it was left off; `fresh`: it was just made. */
  async attach(fresh: boolean): Promise<void> {
    const { remote, stdio } = this.#parts;
    const state = fresh ? UNTOUCHED : await remote.offsets();
    if (stdio.stdout !== "") await this.#copyOutput("stdout", 1, fresh ? undefined : Number(state.stdoutOffset));
    if (stdio.stderr !== "" && !stdio.terminal)
      await this.#copyOutput("stderr", 2, fresh ? undefined : Number(state.stderrOffset));
    if (stdio.stdin !== "" && !state.stdinClosed) await this.#copyInput(Number(state.stdinOffset));
    void this.#wait();
  }

  /** It can't run any more, for this reason. */
  lost(why: string): void {
    this.#settle({ exit: { kind: "lost", why }, exitedAtNs: this.#parts.host.nowNs() });
    for (const { stream } of this.#outputs) this.#closeHeld(stream);
  }

  /** `acknowledged`: undefined where nothing can have come yet. */
  async #copyOutput(stream: "stdout" | "stderr", number: 1 | 2, acknowledged: number | undefined): Promise<void> {
    const { remote, holder, host } = this.#parts;
    const path = await pathOf(holder, stream, host.monitorPid);
    const written = acknowledged === undefined ? 0 : await countWritten(holder, stream);
    const offset = Math.max(written ?? 0, acknowledged ?? 0);
    const pump = new OutputPump((from) => remote.read(number, from), path, offset);
    this.#outputs.push({ stream, pump });
    void pump.ended.then(() => this.#closeHeld(stream));
  }

  async #copyInput(offset: number): Promise<void> {
    const { remote, holder, host } = this.#parts;
    const path = await pathOf(holder, "stdin", host.monitorPid);
    if (path === undefined) return;
    const pump = new InputPump(remote, path, offset);
    void pump.ended.then(() => this.#closeHeld("stdin"));
  }

  #closeHeld(stream: HeldStream): void {
    closeHeld(this.#parts.holder, stream).catch(() => undefined); // the monitor is gone
  }

  async #wait(): Promise<void> {
    const { remote, onOomKills } = this.#parts;
    try {
      const { exit, exitedAtNs, oomKills, reached } = await remote.ended();
      const outputs = this.#outputs.map(({ stream, pump }) =>
        stream === "stdin" ? undefined : pump.reached(reached[stream], OUTPUT_LIMIT_MS),
      );
      await Promise.all(outputs);
      onOomKills(oomKills);
      this.#settle({ exit, exitedAtNs: this.#exitTime(exitedAtNs) });
    } catch (error) {
      this.lost(error instanceof Error ? error.message : String(error));
    }
  }

  /** By the guest's clock, unless that is impossible. */
  #exitTime(ns: bigint): bigint {
    const now = this.#parts.host.nowNs();
    return ns > 0n && ns <= now ? ns : now;
  }

  #settle(exit: ExitRecord): void {
    this.#hasExited = true;
    this.#exit.resolve(exit);
  }
}
