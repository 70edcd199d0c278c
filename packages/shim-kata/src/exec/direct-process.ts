import { newProgram, type RequestKey, SLOT } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { countWritten } from "../container/holder.ts";
import type { Output, RemoteExit, RemoteProcess, StreamOffsets } from "../container/remote-process.ts";
import type { GuestEntry, Piece } from "./guest-monitor.ts";
import { within } from "./within.ts";

const ESRCH = 3;
/** A guest that does not carry out a signal in this time is stuck. */
const SIGNAL_LIMIT_MS = 15_000;
const SOURCE = { 1: SLOT.stdoutSource, 2: SLOT.stderrSource } as const;

/** What a process that the guest's monitor runs needs besides. */
export interface DirectProcessParts {
  readonly entry: GuestEntry;
  readonly told: readonly number[];
  /** OOM kills of the container by now: asked after a death by this signal, or 0. */
  readonly oomKills: (signal: number) => Promise<number>;
  /** Where its input goes, if it has one. */
  readonly input?: DirectInput;
}

/** The input of one that the guest's monitor runs: see `RemoteProcess`. */
export interface DirectInput {
  offsets(): Promise<Pick<StreamOffsets, "stdinOffset" | "stdinClosed">>;
  write(offset: number, data: Uint8Array, end: boolean): Promise<boolean>;
}

/** One that the guest's monitor runs. */
export class DirectProcess implements RemoteProcess {
  readonly #parts: DirectProcessParts;
  /** What was handed out, and is taken when the next piece is asked for. */
  readonly #handed = new Map<number, Piece>();

  constructor(parts: DirectProcessParts) {
    this.#parts = parts;
  }

  /** Pieces have offsets of their own. */
  async offsets(): Promise<StreamOffsets> {
    const input = (await this.#parts.input?.offsets()) ?? { stdinOffset: 0n, stdinClosed: true };
    return { ...input, stdoutOffset: 0n, stderrOffset: 0n };
  }

  async write(offset: number, data: Uint8Array, end: boolean): Promise<boolean> {
    return (await this.#parts.input?.write(offset, data, end)) ?? false;
  }

  async read(stream: 1 | 2, offset: number): Promise<Output> {
    const { entry } = this.#parts;
    const slot = SOURCE[stream];
    const handed = this.#handed.get(slot);
    this.#handed.delete(slot);
    if (handed) entry.taken(slot, handed);
    for (;;) {
      const piece = await entry.piece(slot);
      if (piece.data.length === 0) return { offset, data: piece.data, end: true };
      const end = piece.offset + piece.data.length;
      if (end <= offset) {
        entry.taken(slot, piece); // an earlier task server has written it
        continue;
      }
      this.#handed.set(slot, piece);
      const from = Math.max(offset, piece.offset);
      return { offset: from, data: piece.data.subarray(from - piece.offset), end: false };
    }
  }

  async resize(): Promise<void> {
    throw new StatusError(Code.FailedPrecondition, "the process has no terminal");
  }

  async ended(): Promise<RemoteExit> {
    const { entry, oomKills } = this.#parts;
    const { exit, failure } = await entry.reported(
      (report) => report.exit !== undefined || report.failure !== undefined,
    );
    if (!exit) throw new StatusError(Code.Unknown, `its program failed with errno ${failure?.errno}`);
    const signal = exit.waitStatus & 0x7f;
    const [stdout, stderr] = await Promise.all([this.#reached(1), this.#reached(2)]);
    return {
      exit: signal === 0 ? { kind: "exited", code: (exit.waitStatus >> 8) & 0xff } : { kind: "signaled", signal },
      exitedAtNs: exit.exitedAtNs,
      oomKills: await oomKills(signal),
      reached: { stdout, stderr },
    };
  }

  async signal(signal: number, once: RequestKey | undefined): Promise<void> {
    const builder = newProgram("signal");
    builder.sys("pidfd_send_signal", [{ kind: "slot", index: SLOT.pidfd }, signal, 0, 0]);
    const { errno } = await within(SIGNAL_LIMIT_MS, this.#parts.entry.run(builder.build().bytes, once));
    if (errno === ESRCH) throw new StatusError(Code.NotFound, "process already finished: not found");
    if (errno !== 0) throw new StatusError(Code.InvalidArgument, `signal ${signal}: errno ${errno}`);
  }

  /** What was written before the exit: known where the stream has ended, else to be asked for. */
  async #reached(stream: 1 | 2): Promise<number> {
    const { entry, told } = this.#parts;
    if (!told.includes(SOURCE[stream])) return 0;
    const known = entry.reached(SOURCE[stream]);
    return known ?? (await countWritten(entry, stream === 1 ? "stdout" : "stderr")) ?? 0;
  }
}
