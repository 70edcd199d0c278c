import type { Duplex } from "node:stream";
import { ProtocolError } from "./bytes.ts";
import { encodeMessage, type Message, MessageType, PROTOCOL_VERSION, TOLD } from "./message.ts";
import { MessageStream } from "./message-stream.ts";
import { type ProcessReport, type RunResult, toReport } from "./monitor-link.ts";

/** What a monitor in a guest tells. Byte arguments are views: copy what is to be kept. */
export interface PortHandlers {
  /** All that it knows has been told; what is asked from now on is answered. */
  ready(): void;
  process(report: ProcessReport): void;
  /** Bytes of a told slot, from that offset on; none: its end. They come again until they are taken. */
  output(key: string, slot: number, offset: bigint, data: Uint8Array): void;
  /** It says what no monitor in a guest says. The stream is destroyed. */
  broken(why: string): void;
}

/** One conversation with a monitor behind a port, which may be anybody's: nothing is kept of what it says. PROTOCOL.md, section 7. */
export class PortLink {
  readonly #stream: Duplex;
  readonly #handlers: PortHandlers;
  readonly #messages = new MessageStream();
  readonly #runs = new Map<number, PromiseWithResolvers<RunResult>>();
  #lastSeq = 0;
  #isReady = false;
  #isClosed = false;

  /** `stream`: at the first byte after the greeting's answer, and paused. */
  constructor(stream: Duplex, handlers: PortHandlers) {
    this.#stream = stream;
    this.#handlers = handlers;
    stream.on("data", (chunk: Buffer) => this.#data(chunk));
    stream.on("error", () => undefined); // "close" follows
    stream.once("close", () => this.#closed());
    this.#write({ type: MessageType.Welcome, version: PROTOCOL_VERSION, pid: process.pid });
    stream.resume();
  }

  /** Run a program under a key; `told`: slots whose bytes go to `output`. A key that is known is not run again: its state is told, and what was not taken. */
  spawn(key: string, program: Uint8Array, told: readonly number[]): void {
    this.#write({ type: MessageType.Spawn, key, streams: [], watches: told.map((slot) => slot | TOLD), program });
  }

  /** Everything before that offset is where it belongs. */
  taken(key: string, slot: number, offset: bigint): void {
    this.#write({ type: MessageType.Taken, key, slot, offset });
  }

  /** Let it go on from its gate; again does nothing. */
  openGate(key: string): void {
    this.#write({ type: MessageType.Gate, key });
  }

  /** Rejects when the link closes. `once`: names the run; what was run under that name is not run again, and gives its result. */
  run(key: string, program: Uint8Array, once?: { readonly conn: number; readonly stream: number }): Promise<RunResult> {
    if (this.#isClosed) return Promise.reject(closed());
    this.#lastSeq = (this.#lastSeq + 1) >>> 0;
    const result = Promise.withResolvers<RunResult>();
    this.#runs.set(this.#lastSeq, result);
    this.#write({ type: MessageType.Run, seq: this.#lastSeq, conn: 0, stream: 0, ...once, nth: 0, key, program });
    return result.promise;
  }

  /** Drop an entry that has failed or exited. */
  forget(key: string): void {
    this.#write({ type: MessageType.Forget, key });
  }

  close(): void {
    this.#stream.destroy();
  }

  #write(message: Message): void {
    if (!this.#isClosed && !this.#stream.destroyed) this.#stream.write(encodeMessage(message));
  }

  #data(chunk: Buffer): void {
    try {
      for (const message of this.#messages.push(chunk)) this.#take(message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#stream.destroy();
      this.#handlers.broken(error.message);
    }
  }

  #take(m: Message): void {
    const { ready, process, output } = this.#handlers;
    if (m.type === MessageType.Hello) {
      if (m.version !== PROTOCOL_VERSION) throw new ProtocolError(`version ${m.version}, not ${PROTOCOL_VERSION}`);
    } else if (m.type === MessageType.Ready && !this.#isReady) {
      this.#isReady = true;
      ready();
    } else if (m.type === MessageType.Proc) process(toReport(m));
    else if (m.type === MessageType.Output) output(m.key, m.slot, m.offset, m.data);
    else if (m.type === MessageType.Result) {
      this.#runs.get(m.seq)?.resolve({ step: m.step, errno: m.errno, value: m.value });
      this.#runs.delete(m.seq);
    } else throw new ProtocolError(`message type ${m.type} from a guest's monitor`);
  }

  #closed(): void {
    this.#isClosed = true;
    for (const run of this.#runs.values()) run.reject(closed());
    this.#runs.clear();
  }
}

function closed(): Error {
  return new Error("the connection to the guest's monitor closed");
}
