import type { MonitorLink } from "@trimaran/monitor";
import { Code, StatusError } from "ttrpc-ts";
import type { Logger } from "../log.ts";
import type { PodIdentity } from "../pod/identity.ts";
import { monitorNotebook, type Notebook } from "../pod/notebook.ts";
import { connectProgram, type OutputSlot } from "../stdio/connect.ts";
import { endLogger, type LoggedContainer, loggerKey, startLogger } from "../stdio/logger.ts";
import { planStdio, type StdioLaunch, type StdioOwner } from "../stdio/plan.ts";
import { SLOT } from "../stdio/slots.ts";
import { parseStdio, type StdioUris } from "../stdio/uris.ts";
import type { ContainerProcess } from "./container-process.ts";
import { type DescribeFailure, MonitoredProcess, type RequestKey } from "./process.ts";
import { signalProgram } from "./programs.ts";
import {
  appendUndo,
  linkToSandbox,
  readUndo,
  removeUndo,
  type UndoStep,
  unlinkFromSandbox,
  writeUndo,
} from "./undo.ts";

const ESRCH = 3;

/** A program to run in a child of the monitor. */
export interface Launch {
  readonly program: Uint8Array;
  /** Wiring of stdio, as `planStdio` gave it; without: none. */
  readonly stdio?: StdioLaunch;
  /** Slots whose readability is to be told to `onWatch`. */
  readonly watches?: readonly number[];
  /** A slot whose file is read when the process has ended: see `MonitoredProcess.last`. */
  readonly last?: number;
  readonly describe: DescribeFailure;
  /** Answers the program's SYNC steps. What it throws ends the program; the error is the launch's. */
  readonly onSync?: (sync: SyncRequest, process: MonitoredProcess) => Promise<bigint> | bigint;
  readonly onWatch?: (slot: number, data: Uint8Array) => void;
}

/** What a child told at a SYNC step. */
export interface SyncRequest {
  readonly code: number;
  readonly value: bigint;
  readonly hasFd: boolean;
  readonly data: Uint8Array;
}

/** What `find` needs to take up a process again. */
export type Handlers = Pick<Launch, "describe" | "onSync" | "onWatch">;

/** The outside world of one pod's runtime: its monitor, a clock, the undo list. */
export class Host {
  readonly log: Logger;
  /** Where files that may be made again are kept, such as compiled seccomp filters. */
  readonly cacheDirectory: string;
  readonly #link: MonitorLink;
  /** Ids of a sandbox's containers, by their bundles. */
  readonly #members = new Map<string, string>();
  readonly #identity: PodIdentity;
  readonly #notebook: Notebook;
  readonly #processes = new Map<string, { process: MonitoredProcess; handlers: Handlers }>();

  /** `notebook`: default: the monitor's. */
  constructor(options: {
    link: MonitorLink;
    log: Logger;
    cacheDirectory: string;
    identity: PodIdentity;
    notebook?: Notebook;
  }) {
    this.#link = options.link;
    this.log = options.log;
    this.cacheDirectory = options.cacheDirectory;
    this.#identity = options.identity;
    this.#notebook = options.notebook ?? monitorNotebook(options.link);
  }

  /** Process id of the monitor: what Connect calls the shim. */
  get monitorPid(): number {
    return this.#link.pid;
  }

  nowNs(): bigint {
    return BigInt(Date.now()) * 1_000_000n;
  }

  /** Run a program under a key. A key that the monitor knows already gives its process; the program is not run again. */
  launch(key: string, launch: Launch): MonitoredProcess {
    const isKnown = this.has(key);
    const process = this.find(key, launch);
    if (isKnown) return process;
    const { program, stdio, watches, last } = launch;
    this.#link.spawn(key, {
      program,
      streams: stdio?.streams ?? [],
      watches: [...(watches ?? []), ...(stdio?.watches ?? [])],
      ...(last !== undefined && { last }),
    });
    return process;
  }

  /** The process of a key that was launched before a restart of the task server. */
  find(key: string, handlers: Handlers): MonitoredProcess {
    const process = new MonitoredProcess(this.#link, key, handlers.describe, this.#processes.get(key)?.process);
    this.#processes.set(key, { process, handlers });
    if (this.has(key)) for (const slot of [SLOT.stdoutTarget, SLOT.stderrTarget] as const) this.#connect(process, slot);
    return process;
  }

  has(key: string): boolean {
    return this.#link.processes.has(key);
  }

  /** The keys that the monitor knows and that begin so. */
  keys(prefix: string): readonly string[] {
    return [...this.#link.processes.keys()].filter((key) => key.startsWith(prefix));
  }

  /** Drop what the monitor keeps of a key; its logger, if it has one, gets end of file and is told to end. */
  forget(key: string): void {
    this.#processes.delete(key);
    this.#link.forget(key);
    if (this.has(loggerKey(key))) void endLogger(this, loggerKey(key));
  }

  /** Plan the stdio of a process to be launched under `key`, and start the logger that its URIs may ask for. */
  async openStdio(
    key: string,
    uris: StdioUris,
    container: LoggedContainer & { owner: StdioOwner },
  ): Promise<StdioLaunch> {
    const stdio = parseStdio(uris);
    const { stdout } = stdio;
    const loggers = stdout.kind === "logger" ? await startLogger(this, loggerKey(key), stdout, container) : undefined;
    return planStdio(stdio, container.owner, loggers);
  }

  /** Signal a process through its pidfd. Throws NotFound once it has exited: a reaped pid is never signalled. */
  async signal(process: ContainerProcess, signal: number, once?: RequestKey): Promise<void> {
    const { errno } = await process.run(signalProgram(signal), once);
    if (errno === ESRCH || (errno !== 0 && process.hasExited))
      throw new StatusError(Code.NotFound, "process already finished: not found");
    if (errno !== 0)
      throw new StatusError(Code.InvalidArgument, `signal ${signal}: errno ${errno} from pidfd_send_signal`);
  }

  note(key: string, encode: (() => Uint8Array) | undefined): void {
    this.#notebook.note(key, encode);
  }

  /** Write down what is about to be made outside of the container; `delete` takes it away, whoever was killed meanwhile. */
  recordUndo(bundle: string, steps: readonly UndoStep[]): void {
    // the container whose `start` made the monitor is the one whose `delete` must take the socket away
    const own: UndoStep[] = bundle === this.#identity.bundle ? [{ verb: "unlink", path: this.#identity.socket }] : [];
    writeUndo(bundle, [...steps, ...own]);
    const member = this.#members.get(bundle);
    if (member !== undefined) linkToSandbox(this.#identity.bundle, member, bundle);
  }

  /** What was written down for a bundle, by this or an earlier task server; empty if nothing was. */
  recordedUndo(bundle: string): readonly UndoStep[] {
    return readUndo(bundle);
  }

  /** A process that `delete` has to kill; known only after the clone. */
  recordProcess(bundle: string, process: MonitoredProcess): void {
    const { pid, startTime } = process;
    const kill: UndoStep[] = startTime === 0n ? [] : [{ verb: "kill-pid", pid, startTime }];
    appendUndo(bundle, [...kill, { verb: "pid", pid }]);
  }

  /** A container of the sandbox that the monitor was started for: what it records is undone with the sandbox. */
  addMember(id: string, bundle: string): void {
    this.#members.set(bundle, id);
  }

  removeMember(id: string, bundle: string): void {
    this.#members.delete(bundle);
    unlinkFromSandbox(this.#identity.bundle, id);
  }

  clearUndo(bundle: string): void {
    removeUndo(bundle);
  }

  /** Hand the monitor's news to the process that it is about. Called by the pod. */
  dispatch = {
    process: (key: string): MonitoredProcess | undefined => this.#processes.get(key)?.process,
    sync: (key: string, sync: SyncRequest): void => void this.#sync(key, sync),
    watch: (key: string, slot: number, data: Uint8Array): void => this.#watch(key, slot, data),
  };

  #watch(key: string, slot: number, data: Uint8Array): void {
    const known = this.#processes.get(key);
    if (!known) return;
    if (slot === SLOT.stdoutReaders) this.#connect(known.process, SLOT.stdoutTarget);
    else if (slot === SLOT.stderrReaders) this.#connect(known.process, SLOT.stderrTarget);
    else known.handlers.onWatch?.(slot, data);
  }

  /** A client may have opened its FIFO: begin to copy to it. */
  #connect(process: MonitoredProcess, slot: OutputSlot): void {
    process.run(connectProgram(slot)).then(
      ({ errno }) => errno !== 0 && this.log.warning("stdio not connected", { key: process.key, errno }),
      () => undefined, // the monitor is gone, and the process with it
    );
  }

  async #sync(key: string, sync: SyncRequest): Promise<void> {
    const known = this.#processes.get(key);
    const EINVAL = 22;
    try {
      const value = await known?.handlers.onSync?.(sync, known.process);
      if (value === undefined) this.#link.syncReply(key, EINVAL, 0n);
      else this.#link.syncReply(key, 0, value);
    } catch (error) {
      known?.process.lost(error instanceof Error ? error : new Error(String(error)));
      this.#link.syncReply(key, EINVAL, 0n);
    }
  }
}
