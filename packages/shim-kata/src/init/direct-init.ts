import { setTimeout as delay } from "node:timers/promises";
import { describeFailure, type Program, parseSpec } from "@trimaran/linux";
import { initKey, newProgram, type RootfsMount, SLOT, type StdioUris } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import type { AgentConnection } from "../agent/connection.ts";
import type { BundleConfig } from "../container/bundle-config.ts";
import { waitingIn } from "../container/holder.ts";
import { DirectProcess } from "../exec/direct-process.ts";
import type { GuestEntry, GuestMonitor } from "../exec/guest-monitor.ts";
import { within } from "../exec/within.ts";
import { toGuestSpec } from "../storage/guest-spec.ts";
import { type JsonObject, object } from "../storage/json.ts";
import { planVolumes } from "../storage/volumes.ts";
import { dropHold, FirstInput, holdsInput } from "./direct-input.ts";
import { compileGuestInit, FIRST_STDIN, firstCgroup, toldSlotsOfInit } from "./program.ts";

/** An emulated guest, on a busy host, needs seconds. */
const CREATE_LIMIT_MS = 120_000;
const START_LIMIT_MS = 60_000;
/** Between two pieces of news: a guest can tell of one after the other. */
const NEWS_PAUSE_MS = 100;
/** No program: the monitor says of it that it has failed, and of one that it knows what that one does. */
const NOTHING = new Uint8Array(0);

/** Whose it is, and who has a part in it. */
export interface DirectInitParts {
  readonly id: string;
  readonly config: BundleConfig;
  readonly stdio: StdioUris;
  readonly execs: GuestMonitor;
  readonly agent: AgentConnection;
}

/** config.json of a machine's first container, for its guest. */
export function firstGuestSpec(id: string, { spec, json }: BundleConfig): JsonObject {
  return toGuestSpec(json, { id, volumes: planVolumes(spec.mounts), disks: [], cgroupsPath: firstCgroup(id) });
}

/**
 * Init of a machine's first container, made by the guest's monitor from a program of ours. No JavaScript of the guest's has a part in its start or its end; the agent is told of
 * the container when it is first needed for it.
 */
export class DirectInit {
  readonly remote: DirectProcess;
  readonly #parts: DirectInitParts;
  readonly #entry: GuestEntry;
  readonly #program: Program | undefined;
  #adopted: Promise<void> | undefined;

  private constructor(parts: DirectInitParts, program: Program | undefined) {
    this.#parts = parts;
    this.#program = program;
    const told = toldSlotsOfInit(parts.stdio);
    this.#entry = parts.execs.launch(initKey(parts.id), program?.bytes ?? NOTHING, told);
    const { id, agent, stdio } = parts;
    const isAdopted = () => this.#adopted !== undefined;
    const adopt = () => this.adopt();
    const isFresh = program !== undefined;
    this.remote = new DirectProcess({
      entry: this.#entry,
      told,
      oomKills: () => this.#oomKillsAtExit(),
      ...(stdio.stdin !== "" && {
        input: new FirstInput({ id, agent, entry: this.#entry, adopt, isAdopted, isFresh }),
      }),
    });
  }

  /** Bring it to its start gate; what has been made is not made again. Throws what is wrong with it. */
  static async create(parts: DirectInitParts, rootfs: readonly RootfsMount[]): Promise<DirectInit> {
    const { id, config, stdio } = parts;
    const json = firstGuestSpec(id, config);
    const spec = parseSpec(JSON.stringify(json));
    const program = compileGuestInit({ id, spec, rootfs, stdio }, object(json.linux).resources);
    const init = new DirectInit(parts, program);
    await init.#reach(CREATE_LIMIT_MS, ({ atGate, execed }) => atGate || execed);
    return init;
  }

  /** One that an earlier task server has made; undefined where the guest's monitor knows none. Rejects when the guest does not answer. */
  static async find(parts: DirectInitParts): Promise<DirectInit | undefined> {
    const init = new DirectInit(parts, undefined);
    const { spawned } = await within(
      START_LIMIT_MS,
      init.#entry.reported(() => true),
    );
    if (spawned) return init;
    parts.execs.forget(initKey(parts.id));
    return undefined;
  }

  /** In the guest. */
  async pid(): Promise<number> {
    return (
      await within(
        START_LIMIT_MS,
        this.#entry.reported(({ spawned }) => spawned),
        () => this.#parts.agent.watch(),
      )
    ).pid;
  }

  /** Open its gate. Rejects with what its program could not do. */
  async start(): Promise<void> {
    this.#entry.openGate();
    await this.#reach(START_LIMIT_MS, ({ execed }) => execed);
  }

  /** The agent knows the container: once, for whoever is about to ask it for something. */
  adopt(): Promise<void> {
    this.#adopted ??= this.#tellAgent().catch((error: unknown) => {
      this.#adopted = undefined;
      throw error;
    });
    return this.#adopted;
  }

  /**
   * Call `look` whenever the kernel has told of something about its memory, perhaps of a kill. A piece of news is taken once that has been looked into: a task server that comes
   * later gets it again. Resolves when there will be no more.
   */
  async watchMemory(look: () => Promise<void>): Promise<void> {
    for (;;) {
      const piece = await this.#entry.piece(SLOT.watch).catch(() => undefined);
      if (!piece || piece.data.length === 0) return;
      await look();
      this.#entry.taken(SLOT.watch, piece);
      await delay(NEWS_PAUSE_MS);
    }
  }

  /** What was written is with the host: for a machine that is to be ended. */
  async flush(limitMs: number): Promise<void> {
    const builder = newProgram("sync");
    builder.sys("sync", []);
    await within(limitMs, this.#entry.run(builder.build().bytes));
  }

  async #reach(
    limitMs: number,
    isThere: (report: { readonly atGate: boolean; readonly execed: boolean }) => boolean,
  ): Promise<void> {
    const { agent } = this.#parts;
    const enough = this.#entry.reported((report) => isThere(report) || !!report.failure || !!report.exit);
    const report = await within(limitMs, enough, () => agent.watch());
    if (report.failure) throw new StatusError(Code.Unknown, this.#describe(report.failure));
    if (!isThere(report)) throw new StatusError(Code.Unknown, "init has ended before its program began");
  }

  #describe({ step, errno }: { readonly step: number; readonly errno: number }): string {
    return this.#program ? describeFailure(this.#program, step, errno) : `step ${step}: errno ${errno}`;
  }

  async #tellAgent(): Promise<void> {
    const { id, config, agent, stdio } = this.#parts;
    const spec = Buffer.from(JSON.stringify(firstGuestSpec(id, config)));
    const holds = stdio.stdin !== "" && (await holdsInput(this.#entry));
    const wanted = { id, spec, initPid: await this.pid(), stdin: holds, stdinFifo: holds ? FIRST_STDIN : "" };
    await agent.call((services, options) => services.agent.createContainer(wanted, options), {
      what: "CreateContainer",
    });
    if (holds) await dropHold(this.#entry);
  }

  /** Counted where the kernel has told of something that nobody has looked into yet: news of a kill are there before those of the exit. No reason not to tell the exit. */
  async #oomKillsAtExit(): Promise<number> {
    const { id, agent } = this.#parts;
    const main = { id, execId: "" };
    const waiting = () => waitingIn(this.#entry, SLOT.watch);
    try {
      if (!this.#entry.hasPiece(SLOT.watch) && (await waiting().catch(waiting)) === 0) return 0;
      await this.adopt();
      return (await agent.call((services, options) => services.agent.inspectProcess(main, options))).oomKills;
    } catch {
      return 0; // the guest has ended, or its agent is stuck: that is found out elsewhere
    }
  }
}
