import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeMessage, encodeMessage, MESSAGE, type Message, messageLength } from "../message.ts";

/** A message to be sent, without what the bus adds. */
export type Sent = Omit<Message, "serial">;

/** A bus, or systemd itself, on a socket of its own. It answers by `answer`; what it was asked is in `calls`. */
export class FakeBus implements AsyncDisposable {
  readonly path: string;
  readonly calls: Message[] = [];
  /** What to answer to a call: messages, raw bytes, or nothing at all. */
  answer: (call: Message) => readonly (Sent | Buffer)[] = (call) => [reply(call)];
  /** The line that answers AUTH. */
  welcome = "OK 1234deadbeef";
  /** The line that came. */
  authentication = "";
  readonly #directory: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #serial = 0;

  private constructor(directory: string) {
    this.#directory = directory;
    this.path = join(directory, "bus");
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async open(): Promise<FakeBus> {
    const bus = new FakeBus(mkdtempSync(join(tmpdir(), "trimaran-bus-")));
    await new Promise<void>((resolve) => bus.#server.listen(bus.path, resolve));
    return bus;
  }

  /** How many are connected. */
  get connections(): number {
    return this.#sockets.size;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket)).on("error", () => undefined);
    let unread: Buffer = Buffer.alloc(0);
    let isOpen = false;
    socket.on("data", (chunk: Buffer) => {
      unread = Buffer.concat([unread, chunk]);
      if (!isOpen) {
        const begin = unread.indexOf("BEGIN\r\n");
        if (this.authentication === "") this.authentication = unread.toString("latin1");
        if (begin < 0) return void socket.write(`${this.welcome}\r\n`);
        isOpen = true;
        unread = unread.subarray(begin + 7);
      }
      for (
        let length = messageLength(unread);
        length !== undefined && length <= unread.length;
        length = messageLength(unread)
      ) {
        const call = decodeMessage(unread.subarray(0, length));
        unread = unread.subarray(length);
        this.calls.push(call);
        for (const message of this.answer(call))
          socket.write(Buffer.isBuffer(message) ? message : encodeMessage({ ...message, serial: ++this.#serial }));
      }
    });
  }
}

/** What a method returned. */
export function reply({ serial }: Message, signature = "", ...body: Message["body"]): Sent {
  return { kind: MESSAGE.reply, replySerial: serial, signature, body };
}

/** An error of the service's. */
export function failure({ serial }: Message, errorName: string, text: string): Sent {
  return { kind: MESSAGE.error, replySerial: serial, errorName, signature: "s", body: [text] };
}
