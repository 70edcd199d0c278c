import { ProgramBuilder, SYSCALL, toArchitecture } from "@trimaran/linux";
import type { Launch, MonitorLink, ProcessReport, RunResult } from "@trimaran/monitor";
import { type Frame, type FrameChannel, FrameReader, FrameType } from "ttrpc-ts";
import { streamIdOf } from "../pod/channel.ts";
import { unreadProgram } from "../stdio/connect.ts";

/** One message of a task server, in the order in which the monitor got them. */
export interface SentMessage {
  readonly type: "send" | "note" | "spawn" | "run" | "gate" | "sync-reply" | "forget" | "exit";
  readonly key: string;
}

/** How a spawned program gets on: to its gate, straight to its exec, or not. */
export type Behaviour =
  | "gate"
  | "exec"
  | { readonly step: number; readonly errno: number; readonly afterClone: boolean };

interface Kept {
  readonly conn: number;
  readonly frame: Uint8Array;
  readonly results: Map<number, RunResult>;
}

const UNREAD = Buffer.from(unreadProgram());
const ENOENT = 2;
const ESRCH = 3;
const NOTHING = {
  spawned: false,
  atGate: false,
  opened: false,
  execed: false,
  drained: false,
  pid: 0,
  startTime: 0n,
} as const;

/**
 * A monitor in memory, by PROTOCOL.md sections 2 to 4: it keeps notes, processes, requests that were not answered, and the results of
 * RUN, and outlives any number of task servers. Its news come in a later turn of the event loop, as those of a socket do.
 */
export class FakeMonitor {
  readonly notes = new Map<string, Uint8Array>();
  readonly processes = new Map<string, ProcessReport>();
  readonly sent: SentMessage[] = [];
  /** Streams that got more than one answer, or one too late: none, if all is well. */
  readonly superfluousAnswers: string[] = [];
  hasExited = false;
  /** Bytes of output that a client with FIFOs has not read. */
  unread = 0n;
  behave: (key: string) => Behaviour = (key) => (key.startsWith("init/") ? "gate" : "exec");
  /** Whether the output of a process ends with it: else a child of its holds it. */
  drains: (key: string) => boolean = () => true;
  /** Called when the task server has been killed. */
  onCrash: () => void = () => undefined;
  #crash: { readonly after: number; readonly late: boolean } | undefined;
  #link: FakeLink | undefined;
  #nextPid = 100;
  #nextConn = 1;
  #posted: (() => void)[] = [];
  readonly #kept = new Map<string, Kept>();
  readonly #channels = new Map<number, ClientChannel>();

  /** A task server connects; `begin` on its link when it listens. The one before it is dead. */
  open(): FakeLink {
    this.#link?.cut();
    this.#link = new FakeLink(this, this.#kept);
    return this.#link;
  }

  /**
   * Kill the task server at its n-th message from now: right after it, or with `late` just before the next, when all that
   * it does without a message has been done.
   */
  crashAt(after: number, late: boolean): void {
    this.#crash = { after: this.sent.length + after, late };
  }

  /** A client of containerd's connects. */
  connect(): FrameChannel {
    const conn = this.#nextConn++;
    const channel = new ClientChannel((bytes) => {
      this.#kept.set(`${conn}:${streamIdOf(bytes)}`, { conn, frame: bytes, results: new Map() });
      this.post((link) => link.onFrame(conn, bytes, { replayed: false, oversized: false }));
    });
    channel.onDisconnect = () => {
      this.#channels.delete(conn);
      for (const [name, kept] of this.#kept) if (kept.conn === conn) this.#kept.delete(name);
      this.post((link) => link.onConnClosed(conn));
    };
    this.#channels.set(conn, channel);
    return channel;
  }

  /** A process ends. `waitStatus` as wait(2) has it. */
  exit(key: string, waitStatus: number): void {
    const report = this.processes.get(key);
    if (!report || report.exit) return;
    this.#tell({
      ...report,
      exit: {
        waitStatus,
        exitedAtNs: BigInt(this.#nextPid++) * 1_000_000_000n,
        last: new Uint8Array(),
        lastIsStale: false,
      },
      drained: this.drains(key),
    });
    // the end of init is the end of its pid namespace; its news come first here, which is the worse order
    if (!key.startsWith("init/")) return;
    for (const name of this.processes.keys()) if (name.startsWith(`exec/${key.slice(5)}/`)) this.exit(name, 9);
  }

  watch(key: string, slot: number): void {
    this.post((link) => link.onWatch(key, slot, new Uint8Array(8)));
  }

  /** Whether a message of this link counts; the server may be killed by it. */
  accepts(link: FakeLink, message: SentMessage): boolean {
    if (link !== this.#link || link.isCut) return false;
    if (this.#crash?.late && this.sent.length === this.#crash.after) {
      this.#kill(link);
      return false;
    }
    this.sent.push(message);
    return true;
  }

  /** Called when a message has had its effect. */
  done(link: FakeLink): void {
    if (this.#crash?.late === false && this.sent.length === this.#crash.after) this.#kill(link);
  }

  answer(conn: number, bytes: Uint8Array): void {
    for (const frame of new FrameReader().feed(bytes)) {
      const name = `${conn}:${frame.streamId}`;
      if (frame.type === FrameType.Response && !this.#kept.delete(name) && this.#channels.has(conn))
        this.superfluousAnswers.push(name);
      const channel = this.#channels.get(conn);
      setImmediate(() => channel?.onFrame(frame));
    }
  }

  spawn(key: string): void {
    const known = this.processes.get(key);
    if (known) {
      this.#tell(known);
      return;
    }
    const behaviour = this.behave(key);
    const started = { ...NOTHING, key, spawned: true, pid: this.#nextPid++, startTime: 1n };
    this.processes.set(key, { ...NOTHING, key });
    if (behaviour === "gate") this.#tell({ ...started, atGate: true });
    else if (behaviour === "exec") this.#tell({ ...started, execed: true });
    else {
      const { afterClone, ...failure } = behaviour;
      this.#tell({ ...(afterClone ? started : { ...NOTHING, key }), failure });
      if (afterClone) this.exit(key, 255 << 8);
    }
  }

  openGate(key: string): void {
    const report = this.processes.get(key);
    if (!report || report.opened || report.exit) return;
    const behaviour = this.behave(key);
    if (typeof behaviour === "string") this.#tell({ ...report, opened: true, execed: true });
    else {
      this.#tell({ ...report, opened: true, failure: behaviour });
      this.exit(key, 255 << 8);
    }
  }

  run(
    key: string,
    program: Uint8Array,
    once: { readonly conn: number; readonly stream: number; readonly nth: number } | undefined,
  ): RunResult {
    const kept = once && this.#kept.get(`${once.conn}:${once.stream}`);
    const known = kept?.results.get(once?.nth ?? 0);
    if (known) return known;
    const result = { step: 0, errno: this.#run(key, program), value: UNREAD.equals(program) ? this.unread : 0n };
    kept?.results.set(once?.nth ?? 0, result);
    return result;
  }

  forget(key: string): void {
    this.processes.delete(key);
  }

  /** To the task server, in a later turn; nobody gets it if it is killed before. */
  post(job: (link: FakeLink) => void): void {
    const link = this.#link;
    if (this.#posted.length === 0) setImmediate(() => this.#deliver());
    this.#posted.push(() => {
      if (link && !link.isCut) job(link);
    });
  }

  /** All of a turn at once, as a socket's chunk: promises come after the last. */
  #deliver(): void {
    for (const job of this.#posted.splice(0)) job();
  }

  #run(key: string, program: Uint8Array): number {
    const report = this.processes.get(key);
    if (!report) return ENOENT;
    const signal = signalOf(program);
    if (signal === undefined) return 0;
    if (report.exit) return ESRCH;
    if (signal === 9 || signal === 15) setImmediate(() => this.exit(key, signal));
    return 0;
  }

  #tell(report: ProcessReport): void {
    this.processes.set(report.key, report);
    this.post((link) => {
      link.processes.set(report.key, report);
      link.onProcess(report);
    });
  }

  #kill(link: FakeLink): void {
    this.#crash = undefined;
    link.cut();
    setImmediate(() => this.onCrash());
  }
}

/** The task server's end. What it says after it was cut is lost, as a killed process says nothing. */
export class FakeLink implements MonitorLink {
  readonly identity = "";
  readonly pid = 99;
  readonly notes: Map<string, Uint8Array>;
  readonly processes: Map<string, ProcessReport>;
  readonly queuedBytes = 0;
  onFrame: MonitorLink["onFrame"] = () => undefined;
  onConnClosed: MonitorLink["onConnClosed"] = () => undefined;
  onProcess: MonitorLink["onProcess"] = () => undefined;
  onSync: MonitorLink["onSync"] = () => undefined;
  onWatch: MonitorLink["onWatch"] = () => undefined;
  onClose: MonitorLink["onClose"] = () => undefined;
  isCut = false;
  readonly #monitor: FakeMonitor;
  readonly #open: readonly Kept[];

  constructor(monitor: FakeMonitor, kept: ReadonlyMap<string, Kept>) {
    this.#monitor = monitor;
    this.#open = [...kept.values()];
    this.notes = new Map(monitor.notes);
    this.processes = new Map(monitor.processes);
  }

  /** Repeat what was not answered, in the turn in which the server learns of the monitor. */
  begin(): void {
    for (const { conn, frame } of this.#open) this.onFrame(conn, frame, { replayed: true, oversized: false });
  }

  cut(): void {
    this.isCut = true;
  }

  send(conn: number, frames: Uint8Array): void {
    this.#message({ type: "send", key: String(conn) }, () => this.#monitor.answer(conn, frames));
  }

  note(key: string, value: Uint8Array | undefined): void {
    if (value?.length) this.notes.set(key, value);
    else this.notes.delete(key);
    this.#message({ type: "note", key }, () => {
      if (value?.length) this.#monitor.notes.set(key, Uint8Array.from(value));
      else this.#monitor.notes.delete(key);
    });
  }

  spawn(key: string, _launch: Launch): void {
    this.#message({ type: "spawn", key }, () => this.#monitor.spawn(key));
  }

  run(key: string, program: Uint8Array, once?: { conn: number; stream: number; nth: number }): Promise<RunResult> {
    const { promise, resolve } = Promise.withResolvers<RunResult>();
    this.#message({ type: "run", key }, () => {
      const result = this.#monitor.run(key, program, once);
      this.#monitor.post(() => resolve(result));
    });
    return promise; // of a killed server: never
  }

  openGate(key: string): void {
    this.#message({ type: "gate", key }, () => this.#monitor.openGate(key));
  }

  syncReply(key: string): void {
    this.#message({ type: "sync-reply", key }, () => undefined);
  }

  forget(key: string): void {
    this.processes.delete(key);
    this.#message({ type: "forget", key }, () => this.#monitor.forget(key));
  }

  exit(): void {
    this.#message({ type: "exit", key: "" }, () => {
      this.#monitor.hasExited = true;
    });
  }

  #message(message: SentMessage, effect: () => void): void {
    if (!this.#monitor.accepts(this, message)) return;
    effect();
    this.#monitor.done(this);
  }
}

/** A client's end of a connection to the fake monitor. */
class ClientChannel implements FrameChannel {
  onFrame: (frame: Frame) => void = () => undefined;
  onClose: (error?: Error) => void = () => undefined;
  onDisconnect: () => void = () => undefined;
  readonly #forward: (bytes: Buffer) => void;

  constructor(forward: (bytes: Buffer) => void) {
    this.#forward = forward;
  }

  send(frame: Uint8Array): boolean {
    this.#forward(Buffer.from(frame));
    return true;
  }

  close(): void {
    this.onDisconnect();
    queueMicrotask(() => this.onClose());
  }
}

/** The signal of a program that sends one. Source: PROTOCOL.md, section 5. */
function signalOf(program: Uint8Array): number | undefined {
  const view = new DataView(program.buffer, program.byteOffset, program.byteLength);
  const [SYS, FIRST_STEP] = [1, 32];
  if (program.length < FIRST_STEP + 64 || view.getUint16(FIRST_STEP, true) !== SYS) return undefined;
  const { architecture } = new ProgramBuilder(toArchitecture(process.arch));
  if (view.getUint16(FIRST_STEP + 4, true) !== SYSCALL[architecture].pidfd_send_signal) return undefined;
  return view.getUint32(FIRST_STEP + 16 + 8, true);
}
