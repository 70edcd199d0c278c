import type { Socket } from "node:net";
import { ProtocolError } from "./bytes.ts";
import {
  encodeMessage,
  FrameFlag,
  HEADER_BYTES,
  HelloFlag,
  LAST,
  type Message,
  MessageType,
  PROTOCOL_VERSION,
  ProcFlag,
  StreamFlag,
} from "./message.ts";

/** What is known of one entry: the whole state, as of the last PROC. PROTOCOL.md, section 4. */
export interface ProcessReport {
  readonly key: string;
  readonly spawned: boolean;
  readonly atGate: boolean;
  readonly opened: boolean;
  readonly execed: boolean;
  /** The step of the program that failed (0xffffffff: the program itself is bad). */
  readonly failure?: { readonly step: number; readonly errno: number };
  readonly exit?: {
    readonly waitStatus: number;
    readonly exitedAtNs: bigint;
    /** What was in the file of the launch's `last` slot then, at most 512 bytes; empty without one. */
    readonly last: Uint8Array;
    /** `last` is older than the end: the file could not be read then. */
    readonly lastIsStale: boolean;
  };
  readonly drained: boolean;
  /** 0 until `spawned`. */
  readonly pid: number;
  /** Field 22 of /proc/PID/stat in clock ticks, 0n = unknown. */
  readonly startTime: bigint;
}

export interface Launch {
  readonly program: Uint8Array;
  readonly streams?: readonly {
    readonly from: number;
    readonly to: number;
    readonly keepTarget?: boolean;
    readonly uncounted?: boolean;
  }[];
  /** Slots whose readiness is reported by `onWatch`. */
  readonly watches?: readonly number[];
  /** A slot whose file is read when the process has ended. */
  readonly last?: number;
}

export interface RunResult {
  readonly step: number;
  /** 0: every step succeeded. */
  readonly errno: number;
  /** Register 0. */
  readonly value: bigint;
}

export interface SyncReport {
  readonly key: string;
  readonly code: number;
  readonly value: bigint;
  readonly hasFd: boolean;
  readonly data: Uint8Array;
}

/**
 * One monitor, from READY until its connection closes. Byte arguments of the callbacks are views: copy what is to be kept for long.
 * What is written after the close is dropped: the monitor connects again and tells everything anew.
 */
export interface MonitorLink {
  readonly identity: string;
  readonly pid: number;
  readonly notes: ReadonlyMap<string, Uint8Array>;
  readonly processes: ReadonlyMap<string, ProcessReport>;
  onFrame: (conn: number, frame: Uint8Array, info: { replayed: boolean; oversized: boolean }) => void;
  onConnClosed: (conn: number) => void;
  onProcess: (report: ProcessReport) => void;
  onSync: (sync: SyncReport) => void;
  /** `data` is what one read gave: at most 4 KiB; empty: end of file. */
  onWatch: (key: string, slot: number, data: Uint8Array) => void;
  onClose: () => void;
  /** `frames`: whole ttrpc frames, at most 8 MiB less 4 bytes. */
  send(conn: number, frames: Uint8Array): void;
  /** Keep a value in the monitor; undefined or empty: forget it. At most 4 MiB in total. */
  note(key: string, value: Uint8Array | undefined): void;
  /** A key that exists is not run again: its state is reported by `onProcess`. */
  spawn(key: string, launch: Launch): void;
  /** Run a program without CLONE in the monitor. `once`: a replayed frame gets the first result. Rejects when the link closes. */
  run(key: string, program: Uint8Array, once?: { conn: number; stream: number; nth: number }): Promise<RunResult>;
  openGate(key: string): void;
  syncReply(key: string, errno: number, value: bigint): void;
  /** Drop an entry that has failed or exited. */
  forget(key: string): void;
  /** End the monitor, after it has written what is queued for containerd. */
  exit(): void;
  /** Bytes that wait to be written to the monitor. */
  readonly queuedBytes: number;
}

/** Messages of one type. */
export type Of<K extends keyof typeof MessageType> = Extract<Message, { type: (typeof MessageType)[K] }>;

/** A PROC, as the state that it tells. */
export function toReport(m: Of<"Proc">): ProcessReport {
  const has = (flag: number): boolean => (m.flags & flag) !== 0;
  return {
    key: m.key,
    spawned: has(ProcFlag.Spawned),
    atGate: has(ProcFlag.Gate),
    opened: has(ProcFlag.Opened),
    execed: has(ProcFlag.Execed),
    drained: has(ProcFlag.Drained),
    pid: m.pid,
    startTime: m.startTime,
    ...(has(ProcFlag.Failed) && { failure: { step: m.step, errno: m.errno } }),
    ...(has(ProcFlag.Exited) && {
      exit: {
        waitStatus: m.waitStatus,
        exitedAtNs: m.exitedAtNs,
        last: Uint8Array.from(m.last),
        lastIsStale: has(ProcFlag.Stale),
      },
    }),
  };
}

const noop = (): void => {};

/** The server's end of a monitor's connection. `serveMonitors` feeds it; users see it as MonitorLink. */
export class ConnectedMonitor implements MonitorLink {
  readonly identity: string;
  readonly pid: number;
  readonly notes = new Map<string, Uint8Array>();
  readonly processes = new Map<string, ProcessReport>();
  onFrame: MonitorLink["onFrame"] = noop;
  onConnClosed: MonitorLink["onConnClosed"] = noop;
  onProcess: MonitorLink["onProcess"] = noop;
  onSync: MonitorLink["onSync"] = noop;
  onWatch: MonitorLink["onWatch"] = noop;
  onClose: MonitorLink["onClose"] = noop;
  readonly #socket: Socket;
  /** One that was started before an upgrade may not. */
  readonly #knowsLast: boolean;
  readonly #announce: (link: MonitorLink) => void;
  readonly #runs = new Map<number, PromiseWithResolvers<RunResult>>();
  #ready = false;
  #closed = false;
  #corked = false;
  #lastSeq = 0;

  constructor(socket: Socket, hello: Of<"Hello">, announce: (link: MonitorLink) => void) {
    if (hello.version !== PROTOCOL_VERSION)
      throw new ProtocolError(`version ${hello.version}: this server speaks ${PROTOCOL_VERSION}`);
    this.identity = hello.identity;
    this.pid = hello.pid;
    this.#knowsLast = (hello.flags & HelloFlag.Last) !== 0;
    this.#socket = socket;
    this.#announce = announce;
  }

  get queuedBytes(): number {
    return this.#socket.writableLength;
  }

  /** One message from the monitor. Throws ProtocolError for one that a monitor does not send. */
  take(m: Message): void {
    switch (m.type) {
      case MessageType.Note:
        this.notes.set(m.key, Uint8Array.from(m.value));
        break;
      case MessageType.Proc:
        this.#proc(toReport(m));
        break;
      case MessageType.Ready:
        this.#ready = true;
        this.#announce(this);
        break;
      case MessageType.Frame:
        this.onFrame(m.conn, m.frame, {
          replayed: (m.flags & FrameFlag.Replayed) !== 0,
          oversized: (m.flags & FrameFlag.Oversized) !== 0,
        });
        break;
      case MessageType.ConnClosed:
        this.onConnClosed(m.conn);
        break;
      case MessageType.Result:
        this.#runs.get(m.seq)?.resolve({ step: m.step, errno: m.errno, value: m.value });
        this.#runs.delete(m.seq);
        break;
      case MessageType.Sync:
        this.onSync({ key: m.key, code: m.code, value: m.value, hasFd: m.hasFd, data: m.data });
        break;
      case MessageType.Watch:
        this.onWatch(m.key, m.slot, m.data);
        break;
      case MessageType.Ping:
        this.#write(encodeMessage({ type: MessageType.Pong, token: m.token }));
        break;
      default:
        throw new ProtocolError(`message type ${m.type} from a monitor`);
    }
  }

  #proc(report: ProcessReport): void {
    this.processes.set(report.key, report);
    if (this.#ready) this.onProcess(report);
  }

  /** The connection is gone. */
  closed(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const run of this.#runs.values()) run.reject(new Error("the monitor's connection closed"));
    this.#runs.clear();
    if (this.#ready) this.onClose();
  }

  /** Say BYE and close, once everything is written. `readBytes`: of this connection; what comes later the next server gets. */
  end(readBytes: number): void {
    this.#write(encodeMessage({ type: MessageType.Bye, readBytes: BigInt(readBytes) }));
    this.#socket.end();
  }

  #write(bytes: Uint8Array): void {
    if (this.#closed || this.#socket.writableEnded) return;
    if (!this.#corked) {
      this.#corked = true;
      this.#socket.cork(); // what is written until the event loop turns goes out in one writev
      setImmediate(() => {
        this.#corked = false;
        this.#socket.uncork();
      });
    }
    this.#socket.write(bytes);
  }

  send(conn: number, frames: Uint8Array): void {
    const head = Buffer.allocUnsafe(HEADER_BYTES + 4);
    head.writeUInt32LE(4 + frames.length, 0);
    head.writeUInt16LE(MessageType.Send, 4);
    head.writeUInt16LE(0, 6);
    head.writeUInt32LE(conn, 8);
    this.#write(head);
    this.#write(frames);
  }

  note(key: string, value: Uint8Array | undefined): void {
    if (value?.length) this.notes.set(key, Uint8Array.from(value));
    else this.notes.delete(key);
    this.#write(encodeMessage({ type: MessageType.Note, key, value: value ?? new Uint8Array() }));
  }

  spawn(key: string, launch: Launch): void {
    const streams = (launch.streams ?? []).map((s) => ({
      fromSlot: s.from,
      toSlot: s.to,
      flags: (s.keepTarget ? StreamFlag.KeepTarget : 0) | (s.uncounted ? StreamFlag.Uncounted : 0),
    }));
    const { program, last } = launch;
    const watches = [...(launch.watches ?? []), ...(last === undefined || !this.#knowsLast ? [] : [last | LAST])];
    this.#write(encodeMessage({ type: MessageType.Spawn, key, streams, watches, program }));
  }

  run(key: string, program: Uint8Array, once = { conn: 0, stream: 0, nth: 0 }): Promise<RunResult> {
    if (this.#closed) return Promise.reject(new Error("the monitor's connection closed"));
    this.#lastSeq = (this.#lastSeq + 1) >>> 0;
    const seq = this.#lastSeq;
    const result = Promise.withResolvers<RunResult>();
    this.#runs.set(seq, result);
    this.#write(
      encodeMessage({ type: MessageType.Run, seq, conn: once.conn, stream: once.stream, nth: once.nth, key, program }),
    );
    return result.promise;
  }

  openGate(key: string): void {
    this.#write(encodeMessage({ type: MessageType.Gate, key }));
  }
  syncReply(key: string, errno: number, value: bigint): void {
    this.#write(encodeMessage({ type: MessageType.SyncReply, key, errno, value }));
  }
  forget(key: string): void {
    this.processes.delete(key);
    this.#write(encodeMessage({ type: MessageType.Forget, key }));
  }
  exit(): void {
    this.#write(encodeMessage({ type: MessageType.Exit }));
  }
}
