import { PortLink, type ProcessReport, type RunResult } from "@trimaran/monitor";
import type { Logger, RequestKey } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { greetAgent } from "../agent/greet.ts";
import { guestText } from "../agent/guest-text.ts";
import { within } from "./within.ts";

const FIRST_PAUSE_MS = 5;
const LONGEST_PAUSE_MS = 250;
/** A small program waits for nothing: one without a result in this time is in a guest that is stuck. An emulated one, on a busy host, needs seconds. */
const RUN_LIMIT_MS = 60_000;
/** Of its `told.c`: one read. */
const OUTPUT_LIMIT_BYTES = 64 * 1024;

/** A piece of a stream, from an offset on. Without bytes: its end. */
export interface Piece {
  readonly offset: number;
  readonly data: Uint8Array;
}

/** A program that the guest's monitor runs, and what was told of it. */
export interface GuestEntry {
  readonly key: string;
  /** Resolves with each state that is told, as the last one, in which `isEnough`. Rejects when the guest ends. */
  reported(isEnough: (report: ProcessReport) => boolean): Promise<ProcessReport>;
  /** The piece that is there, or comes next. One piece at a time: the next one comes once this one is taken. */
  piece(slot: number): Promise<Piece>;
  /** Offset after the last byte of a stream whose end is known. */
  reached(slot: number): number | undefined;
  /** It is where it belongs. */
  taken(slot: number, piece: Piece): void;
  /** Whether there is a piece that was not taken. */
  hasPiece(slot: number): boolean;
  /** Let it go on from its gate. Once asked for it is asked on each connection, and does nothing twice. */
  openGate(): void;
  /** Run a small program on its slots; what was run as `once` is not run again. Rejects when the connection is lost, or nothing comes within a minute. */
  run(program: Uint8Array, once?: RequestKey): Promise<RunResult>;
}

/** What a guest's monitor is reached with. */
export interface GuestMonitorOptions {
  /** The unix socket that leads to the port exec.0. */
  readonly path: string;
  readonly log: Logger;
  /** It has broken the protocol; the guest's end is up to the caller. */
  readonly onLie: (why: string) => void;
  /** It has left something without an answer. */
  readonly onSilent: () => void;
  /** Milliseconds for a small program's result. Default: `RUN_LIMIT_MS`. */
  readonly runLimitMs?: number;
}

/**
 * The monitor in a guest that runs execs: a launch program goes in, reports and output come out, and no JavaScript of the guest's has a part in it. A connection is made
 * when it is first needed and again when it was lost; all that is asked for is then asked again, which does nothing twice.
 */
export class GuestMonitor {
  readonly #options: GuestMonitorOptions;
  readonly #entries = new Map<string, Entry>();
  #link: Promise<PortLink> | undefined;
  #end: StatusError | undefined;

  constructor(options: GuestMonitorOptions) {
    this.#options = options;
  }

  /** Run a program under a key; one that the guest knows is not run again. `told`: slots whose bytes are told. */
  launch(key: string, program: Uint8Array, told: readonly number[]): GuestEntry {
    const entry = new Entry(key, program, told, (make) => this.#answered(make));
    this.#entries.set(key, entry);
    if (this.#end) entry.fail(this.#end);
    else void this.#say((link) => entry.ask(link));
    return entry;
  }

  /** The answer on the link of the moment, whose making is part of the time it has. */
  #answered<T>(make: (link: PortLink) => Promise<T>): Promise<T> {
    const { runLimitMs = RUN_LIMIT_MS, onSilent } = this.#options;
    return within(runLimitMs, this.#connect().then(make), onSilent);
  }

  /** Whether such a key was launched, and not forgotten since. */
  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Drop what the guest keeps of one that has ended. */
  forget(key: string): void {
    this.#entries.delete(key);
    if (!this.#end) void this.#say((link) => link.forget(key));
  }

  /** The guest has ended: nothing more will be told. */
  close(why: string): void {
    if (this.#end) return;
    this.#end = new StatusError(Code.Unavailable, why);
    for (const entry of this.#entries.values()) entry.fail(this.#end);
    void this.#link?.then((link) => link.close()).catch(() => undefined);
  }

  /** To the link of the moment; where it is lost, the next one asks for everything anew. */
  async #say(what: (link: PortLink) => void): Promise<void> {
    try {
      what(await this.#connect());
    } catch (error) {
      this.#options.log.debug("the guest's monitor is not reached", { error });
      void this.#again();
    }
  }

  #connect(): Promise<PortLink> {
    this.#link ??= this.#open().catch((error: unknown) => {
      this.#link = undefined;
      throw error;
    });
    return this.#link;
  }

  async #open(): Promise<PortLink> {
    const socket = await greetAgent(this.#options.path);
    const ready = Promise.withResolvers<void>();
    const link = new PortLink(socket, {
      ready: ready.resolve,
      process: (report) => this.#entries.get(report.key)?.report(report),
      output: (key, slot, offset, data) => this.#output(key, slot, { offset: Number(offset), data }),
      broken: (why) => this.#lie(why),
    });
    socket.once("close", () => {
      ready.reject(new StatusError(Code.Unavailable, "the guest's monitor has closed the connection"));
      if (this.#end) return;
      this.#link = undefined;
      void this.#again();
    });
    await ready.promise;
    for (const entry of this.#entries.values()) entry.askAgain(link);
    return link;
  }

  /** As long as somebody waits for something. */
  async #again(): Promise<void> {
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
      if (this.#end || this.#link || this.#entries.size === 0) return;
      const isThere = await this.#connect().then(
        () => true,
        () => false,
      );
      if (isThere) return;
    }
  }

  #output(key: string, slot: number, piece: Piece): void {
    const entry = this.#entries.get(key);
    if (piece.data.length > OUTPUT_LIMIT_BYTES) this.#lie(`${piece.data.length} bytes of output at once`);
    else if (entry?.output(slot, piece) === false) this.#lie(`output at ${piece.offset} that nobody has asked for`);
  }

  #lie(what: string): void {
    const why = `monitor: ${guestText(what)}`;
    this.#options.log.error("the guest's monitor breaks its protocol", { error: why });
    this.close(why);
    this.#options.onLie(why);
  }
}

/** Make a call on the link of the moment. */
type Answered = <T>(make: (link: PortLink) => Promise<T>) => Promise<T>;

interface Told {
  /** Begin of the next piece. */
  offset: number;
  piece: Piece | undefined;
  hasEnded: boolean;
  wake: PromiseWithResolvers<void>;
}

class Entry implements GuestEntry {
  readonly key: string;
  readonly #program: Uint8Array;
  readonly #told: ReadonlyMap<number, Told>;
  readonly #answered: Answered;
  readonly #waiting = new Set<() => void>();
  #link: PortLink | undefined;
  #isOpen = false;
  #report: ProcessReport | undefined;
  #end: Error | undefined;

  constructor(key: string, program: Uint8Array, told: readonly number[], answered: Answered) {
    this.key = key;
    this.#program = program;
    this.#answered = answered;
    const fresh = (): Told => ({ offset: 0, piece: undefined, hasEnded: false, wake: Promise.withResolvers() });
    this.#told = new Map(told.map((slot) => [slot, fresh()]));
  }

  /** Ask for it, once a connection. */
  ask(link: PortLink): void {
    if (this.#link !== link) this.askAgain(link);
  }

  /** What was told of output counts no more: it is told again. */
  askAgain(link: PortLink): void {
    this.#link = link;
    link.spawn(this.key, this.#program, [...this.#told.keys()]);
    if (this.#isOpen) link.openGate(this.key);
  }

  openGate(): void {
    this.#isOpen = true;
    this.#link?.openGate(this.key); // a link that is made later is told then
  }

  hasPiece(slot: number): boolean {
    return this.#told.get(slot)?.piece !== undefined;
  }

  report(report: ProcessReport): void {
    this.#report = report;
    for (const wake of this.#waiting) wake();
  }

  /** False: it breaks the order. After a new connection the same piece comes again. */
  output(slot: number, piece: Piece): boolean {
    const told = this.#told.get(slot);
    if (!told) return false;
    if (piece.data.length === 0) told.hasEnded = true;
    else if (piece.offset + piece.data.length <= told.offset)
      this.#tellTaken(slot, told); // it has not heard
    else if (told.piece) return told.piece.offset === piece.offset;
    else told.piece = { offset: piece.offset, data: Buffer.from(piece.data) };
    told.wake.resolve();
    return true;
  }

  fail(error: Error): void {
    this.#end = error;
    for (const wake of this.#waiting) wake();
    for (const { wake } of this.#told.values()) wake.resolve();
  }

  async reported(isEnough: (report: ProcessReport) => boolean): Promise<ProcessReport> {
    for (;;) {
      if (this.#report && isEnough(this.#report)) return this.#report;
      if (this.#end) throw this.#end;
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      await promise;
      this.#waiting.delete(resolve);
    }
  }

  async piece(slot: number): Promise<Piece> {
    const told = this.#told.get(slot);
    if (!told) throw new StatusError(Code.Internal, `slot ${slot}: not told`);
    for (;;) {
      if (told.piece) return told.piece;
      if (told.hasEnded) return { offset: told.offset, data: new Uint8Array() };
      if (this.#end) throw this.#end;
      await told.wake.promise;
      told.wake = Promise.withResolvers();
    }
  }

  reached(slot: number): number | undefined {
    const told = this.#told.get(slot);
    return told?.hasEnded ? told.offset + (told.piece?.data.length ?? 0) : undefined;
  }

  taken(slot: number, { offset, data }: Piece): void {
    const told = this.#told.get(slot);
    if (!told) return;
    told.piece = undefined;
    told.offset = offset + data.length;
    this.#tellTaken(slot, told);
  }

  #tellTaken(slot: number, { offset }: Told): void {
    this.#link?.taken(this.key, slot, BigInt(offset));
  }

  async run(program: Uint8Array, once?: RequestKey): Promise<RunResult> {
    return await this.#answered((link) => link.run(this.key, program, once));
  }
}
