import { Code, StatusError } from "ttrpc-ts";
import { Waiters } from "../task/waiters.ts";
import { decodeSandboxRecord, encodeSandboxRecord, type SandboxRecord } from "./sandbox-record.ts";

const NOTE = "sandbox";

/** Where notes are kept, and the time. */
export interface SandboxKeeper {
  readonly notes: ReadonlyMap<string, Uint8Array>;
  note(key: string, value: Uint8Array | undefined): void;
  nowNs(): bigint;
}

/** What CreateSandbox asks for. */
export type WantedSandbox = Pick<SandboxRecord, "id" | "networkNamespace" | "hostNetwork" | "pod" | "annotations">;

/** The sandbox of a pod: created, ready, stopped; a call that comes again after a crash gets the answer that it would have got. */
export class PodSandbox {
  readonly waiters = new Waiters<bigint>();
  readonly #keeper: SandboxKeeper;
  #record: SandboxRecord;

  private constructor(keeper: SandboxKeeper, record: SandboxRecord) {
    this.#keeper = keeper;
    this.#record = record;
  }

  /** A new one. */
  static create(keeper: SandboxKeeper, wanted: WantedSandbox, createdBy: string): PodSandbox {
    const sandbox = new PodSandbox(keeper, { ...wanted, createdBy, state: { state: "created" } });
    sandbox.#save(sandbox.#record.state);
    return sandbox;
  }

  /** The one that an earlier task server has made. */
  static recover(keeper: SandboxKeeper): PodSandbox | undefined {
    const note = keeper.notes.get(NOTE);
    return note && new PodSandbox(keeper, decodeSandboxRecord(note));
  }

  get id(): string {
    return this.#record.id;
  }

  get createdBy(): string {
    return this.#record.createdBy;
  }

  get wanted(): WantedSandbox {
    const { id, networkNamespace, hostNetwork = false, pod, annotations } = this.#record;
    return { id, networkNamespace, hostNetwork, ...(pod && { pod }), annotations };
  }

  get state(): SandboxRecord["state"] {
    return this.#record.state;
  }

  /** Throws FailedPrecondition unless it was just created, or started by this very request. `make`: gives the pid that stands for it. */
  async start(by: string, make: () => Promise<number> | number): Promise<{ startedAtNs: bigint; pid: number }> {
    const { state } = this.#record;
    if (state.state === "ready" && state.startedBy === by) return state;
    if (state.state !== "created") {
      throw new StatusError(Code.FailedPrecondition, `cannot start a sandbox that is ${state.state}`);
    }
    const made = make();
    const pid = typeof made === "number" ? made : await made;
    const startedAtNs = this.#keeper.nowNs();
    this.#save({ state: "ready", startedBy: by, startedAtNs, pid });
    return { startedAtNs, pid };
  }

  /** It is over: waiters hear of it. Twice is harmless. */
  stop(): void {
    const { state } = this.#record;
    if (state.state === "stopped") return;
    const exitedAtNs = this.#keeper.nowNs();
    this.#save({ state: "stopped", startedAtNs: state.state === "ready" ? state.startedAtNs : undefined, exitedAtNs });
    this.waiters.settle(exitedAtNs);
  }

  dropNote(): void {
    this.#keeper.note(NOTE, undefined);
  }

  #save(state: SandboxRecord["state"]): void {
    this.#record = { ...this.#record, state };
    this.#keeper.note(NOTE, encodeSandboxRecord(this.#record));
  }
}
