/** Just enough ttrpc by hand: the monitor is below ttrpc-ts and does not import it. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";

export interface Frame {
  readonly stream: number;
  readonly type: number;
  readonly flags: number;
  readonly payload: Buffer;
}
export const FrameType = { Request: 1, Response: 2, Data: 3 } as const;

export function encodeFrame(frame: Frame): Buffer {
  const head = Buffer.alloc(10);
  head.writeUInt32BE(frame.payload.length, 0);
  head.writeUInt32BE(frame.stream, 4);
  head[8] = frame.type;
  head[9] = frame.flags;
  return Buffer.concat([head, frame.payload]);
}

/** All whole frames at the front, and the rest. */
export function splitFrames(bytes: Buffer): { frames: Frame[]; rest: Buffer } {
  const frames: Frame[] = [];
  let at = 0;
  while (bytes.length - at >= 10 && bytes.length - at - 10 >= bytes.readUInt32BE(at)) {
    const length = bytes.readUInt32BE(at);
    frames.push({
      stream: bytes.readUInt32BE(at + 4),
      type: bytes[at + 8] ?? 0,
      flags: bytes[at + 9] ?? 0,
      payload: bytes.subarray(at + 10, at + 10 + length),
    });
    at += 10 + length;
  }
  return { frames, rest: bytes.subarray(at) };
}

function varint(value: number): number[] {
  const out: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) out.push((value & 127) | 128);
  return [...out, value];
}
function field(number: number, bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2, ...varint(bytes.length)]), bytes]);
}

/** A unary Request. */
export function request(stream: number, method: string, payload: string | Uint8Array = ""): Buffer {
  const body = [field(1, Buffer.from("test.Task")), field(2, Buffer.from(method)), field(3, Buffer.from(payload))];
  return encodeFrame({ stream, type: FrameType.Request, flags: 0, payload: Buffer.concat(body) });
}

/** method and payload of a Request made by `request`. */
export function parseRequest(payload: Buffer): { method: string; payload: Buffer } {
  const fields: Buffer[] = [];
  for (let at = 0; at < payload.length; ) {
    const number = (payload[at++] ?? 0) >> 3;
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = payload[at++] ?? 0;
      length += (byte & 127) * 2 ** shift;
      if (byte < 128) break;
    }
    fields[number] = payload.subarray(at, at + length);
    at += length;
  }
  return { method: fields[2]?.toString() ?? "", payload: fields[3] ?? Buffer.alloc(0) };
}

export function response(stream: number, payload: string | Uint8Array): Buffer {
  return encodeFrame({ stream, type: FrameType.Response, flags: 0, payload: Buffer.from(payload) });
}

/** A client of the pod's socket. */
export class Client implements Disposable {
  readonly socket: Socket;
  readonly frames: Frame[] = [];
  closed = false;
  #rest = Buffer.alloc(0);
  #wake: (() => void)[] = [];
  #lastStream = -1;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      const { frames, rest } = splitFrames(Buffer.concat([this.#rest, chunk]));
      this.#rest = Buffer.from(rest);
      this.frames.push(...frames);
      this.#notify();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.closed = true;
      this.#notify();
    });
  }
  static async open(path: string): Promise<Client> {
    const socket = connect(path);
    await once(socket, "connect");
    return new Client(socket);
  }
  #notify(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#wake.push(resolve));
  }
  /** Send a request; its stream. */
  ask(method: string, payload: string | Uint8Array = ""): number {
    this.#lastStream += 2;
    this.socket.write(request(this.#lastStream, method, payload));
    return this.#lastStream;
  }
  async answer(stream: number): Promise<string> {
    await this.until(() => this.closed || this.frames.some((f) => f.stream === stream));
    const frame = this.frames.find((f) => f.stream === stream);
    if (!frame) throw new Error("closed without an answer");
    return frame.payload.toString();
  }
  call(method: string, payload: string | Uint8Array = ""): Promise<string> {
    return this.answer(this.ask(method, payload));
  }
  [Symbol.dispose](): void {
    this.socket.destroy();
  }
}
