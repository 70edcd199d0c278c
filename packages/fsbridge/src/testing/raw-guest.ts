/** The guest's end of the host half, in the hands of a test: FUSE requests by the byte, answers as they come. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Build, type Running, socketPair, startDaemon, startHalf } from "./halves.ts";

/** Numbers of linux/fuse.h. */
export const OPCODE = { LOOKUP: 1, FORGET: 2, OPEN: 14, READ: 15, INIT: 26, INTERRUPT: 36, DESTROY: 38 } as const;
const HEADER_BYTES = 40;
const ANSWER_BYTES = 16;
const MAJOR = 7;
const MINOR = 36;

/** One answer. `error` is a negative errno, or 0. */
export interface Answer {
  readonly error: number;
  readonly unique: bigint;
  readonly body: Buffer;
}

/** A request's bytes. `length`: what its header claims, if that is not so. */
export function request(opcode: number, unique: number, nodeid: bigint, body: Uint8Array, length?: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(length ?? HEADER_BYTES + body.length, 0);
  header.writeUInt32LE(opcode, 4);
  header.writeBigUInt64LE(BigInt(unique), 8);
  header.writeBigUInt64LE(nodeid, 16);
  return Buffer.concat([header, body]);
}

/** FUSE_INIT as a kernel sends it. */
export function initRequest(unique: number): Buffer {
  const body = Buffer.alloc(64);
  for (const [at, value] of [MAJOR, MINOR, 1 << 20].entries()) body.writeUInt32LE(value, at * 4);
  return request(OPCODE.INIT, unique, 0n, body);
}

/** FUSE_READ of an open file, from its beginning. */
export function readRequest(unique: number, nodeid: bigint, handle: bigint, size: number): Buffer {
  const body = Buffer.alloc(40);
  body.writeBigUInt64LE(handle, 0);
  body.writeUInt32LE(size, 16);
  return request(OPCODE.READ, unique, nodeid, body);
}

/** virtiofsd and a host half, whose guest is the test. Open with `await using`. */
export class RawGuest implements AsyncDisposable {
  readonly folder: string;
  readonly shared: string;
  readonly socket: Socket;
  readonly daemon: Running;
  readonly host: Running;
  #received = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  private constructor(folder: string, socket: Socket, daemon: Running, host: Running) {
    this.folder = folder;
    this.shared = join(folder, "shared");
    this.socket = socket;
    this.daemon = daemon;
    this.host = host;
    socket.on("error", () => undefined); // the half has closed: `close` follows
    socket.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  static async open(build: Build): Promise<RawGuest> {
    const folder = mkdtempSync(join(tmpdir(), "fsbridge-"));
    mkdirSync(join(folder, "shared"));
    const path = join(folder, "daemon.sock");
    const daemon = await startDaemon(join(folder, "shared"), path);
    const [near, far] = await socketPair();
    const host = startHalf(build, ["host", "fd:3", `connect:${path}`], [far]);
    far.destroy();
    return new RawGuest(folder, near, daemon, host);
  }

  /** Send, without waiting for anything. */
  send(...requests: readonly Uint8Array[]): void {
    this.socket.write(Buffer.concat(requests));
  }

  /** The next answer. Until it is asked for, nothing is read from the half. Rejects at the end of the stream. */
  async answer(): Promise<Answer> {
    while (this.#received.length < ANSWER_BYTES || this.#received.length < this.#received.readUInt32LE(0)) {
      const chunk = this.socket.read() as Buffer | null;
      if (chunk !== null) this.#received = Buffer.concat([this.#received, chunk]);
      else if (this.#ended) throw new Error(`the half closed: ${this.host.stderr}`);
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
          this.socket.once("readable", resolve);
        });
    }
    const length = this.#received.readUInt32LE(0);
    const bytes = this.#received.subarray(0, length);
    this.#received = this.#received.subarray(length);
    return { error: bytes.readInt32LE(4), unique: bytes.readBigUInt64LE(8), body: bytes.subarray(ANSWER_BYTES) };
  }

  /** INIT, look a file up, open it: its node and handle. */
  async openFile(name: string): Promise<{ readonly nodeid: bigint; readonly handle: bigint }> {
    this.send(initRequest(2));
    await this.answer();
    this.send(request(OPCODE.LOOKUP, 4, 1n, Buffer.from(`${name}\0`)));
    const nodeid = (await this.answer()).body.readBigUInt64LE(0);
    this.send(request(OPCODE.OPEN, 6, nodeid, Buffer.alloc(8)));
    return { nodeid, handle: (await this.answer()).body.readBigUInt64LE(0) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    for (const process of [this.host, this.daemon]) await process[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true });
  }
}
