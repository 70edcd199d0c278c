import { createServer, type Server, type Socket } from "node:net";
import { ProtocolError } from "./bytes.ts";
import { encodeMessage, type Message, MessageType, PROTOCOL_VERSION } from "./message.ts";
import { MessageStream } from "./message-stream.ts";
import { ConnectedMonitor, type MonitorLink } from "./monitor-link.ts";

/** What containerd ran: `containerd-shim-NAME start` or `delete`. */
export interface StartRequest {
  readonly argv: readonly string[];
  readonly env: ReadonlyMap<string, string>;
  readonly cwd: string;
  readonly stdin: Uint8Array;
  readonly pid: number;
}

/** `undo` (for `delete` only): the starter replays the bundle's undo list by itself. `print`: write and exit with `code`. `serve`: run `program`, which makes the pod's monitor, then write `stdout`. */
export type StartAnswer =
  | { readonly kind: "print"; readonly code: number; readonly stdout: Uint8Array; readonly stderr: Uint8Array }
  | { readonly kind: "serve"; readonly stdout: Uint8Array; readonly program: Uint8Array }
  | { readonly kind: "undo" };

export interface MonitorHandlers {
  /** Once for each starter. `signal` aborts when the starter goes away. A rejection is printed by the starter, which exits with 1. */
  start(request: StartRequest, signal: AbortSignal): Promise<StartAnswer>;
  /** At READY of each connection of a monitor, with notes and processes filled. Set the callbacks before returning. */
  monitor(link: MonitorLink): void;
}

export interface MonitorServer extends AsyncDisposable {
  /** When something last came from a monitor or a starter, by `performance.now()`. */
  readonly heardAtMs: number;
  /** No more connections; says BYE to every monitor, so that they stay asleep until there is something new. */
  close(): Promise<void>;
}

const NOTHING = new Uint8Array();
/** A monitor that does not close its end (stopped, say) does not hold up the server's end. */
const CLOSE_TIMEOUT_MS = 1000;

function toRequest(m: Extract<Message, { type: typeof MessageType.Start }>): StartRequest {
  const env = new Map<string, string>();
  for (const variable of m.env) {
    const equals = variable.indexOf("=");
    if (equals > 0) env.set(variable.slice(0, equals), variable.slice(equals + 1));
  }
  return { argv: m.argv, env, cwd: m.cwd, stdin: Uint8Array.from(m.stdin), pid: m.pid };
}

function encodeAnswer(answer: StartAnswer): Buffer {
  if (answer.kind === "undo")
    return encodeMessage({
      type: MessageType.Answer,
      kind: 2,
      code: 0,
      stdout: NOTHING,
      stderr: NOTHING,
      program: NOTHING,
    });
  return encodeMessage(
    answer.kind === "print"
      ? {
          type: MessageType.Answer,
          kind: 0,
          code: answer.code,
          stdout: answer.stdout,
          stderr: answer.stderr,
          program: NOTHING,
        }
      : { type: MessageType.Answer, kind: 1, code: 0, stdout: answer.stdout, stderr: NOTHING, program: answer.program },
  );
}

async function answerStarter(socket: Socket, request: StartRequest, handlers: MonitorHandlers): Promise<void> {
  const gone = new AbortController();
  socket.once("close", () => gone.abort());
  let answer: StartAnswer;
  try {
    answer = await handlers.start(request, gone.signal);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    answer = { kind: "print", code: 1, stdout: NOTHING, stderr: Buffer.from(`trimaran: ${text}\n`) };
  }
  if (!socket.destroyed) socket.end(encodeAnswer(answer));
}

/** The two kinds of peers are told apart by their first message. */
class Peer {
  readonly #socket: Socket;
  readonly #handlers: MonitorHandlers;
  readonly #stream = new MessageStream();
  #monitor: ConnectedMonitor | undefined;
  #starter = false;
  #readBytes = 0;
  #ended = false;

  constructor(socket: Socket, handlers: MonitorHandlers) {
    this.#socket = socket;
    this.#handlers = handlers;
    socket.write(encodeMessage({ type: MessageType.Welcome, version: PROTOCOL_VERSION, pid: process.pid }));
    socket.on("data", (chunk: Buffer) => !this.#ended && this.#data(chunk)); // after BYE it is the next server's
    socket.on("error", () => {}); // "close" follows
    socket.on("close", () => this.#monitor?.closed());
  }

  #data(chunk: Buffer): void {
    this.#readBytes += chunk.length;
    try {
      for (const message of this.#stream.push(chunk)) this.#take(message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#socket.destroy();
    }
  }

  #take(message: Message): void {
    if (this.#monitor) this.#monitor.take(message);
    else if (this.#starter) throw new ProtocolError("a starter sends one message");
    else if (message.type === MessageType.Hello)
      this.#monitor = new ConnectedMonitor(this.#socket, message, this.#handlers.monitor);
    else if (message.type === MessageType.Start) {
      this.#starter = true;
      void answerStarter(this.#socket, toRequest(message), this.#handlers);
    } else throw new ProtocolError(`message type ${message.type} comes first`);
  }

  destroy(): void {
    this.#socket.destroy();
  }

  end(): void {
    this.#ended = this.#monitor !== undefined;
    if (this.#monitor) this.#monitor.end(this.#readBytes);
    else if (!this.#starter) this.#socket.destroy();
  }
}

class ListeningServer implements MonitorServer {
  readonly #server: Server;
  readonly #peers = new Set<Peer>();
  heardAtMs = performance.now();

  constructor(listen: { fd: number } | { path: string }, handlers: MonitorHandlers) {
    this.#server = createServer((socket) => {
      const peer = new Peer(socket, handlers);
      this.#peers.add(peer);
      socket.on("data", () => {
        this.heardAtMs = performance.now();
      });
      socket.once("close", () => this.#peers.delete(peer));
    });
    this.#server.listen(listen);
  }

  close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const peer of this.#peers) peer.end();
    const timer = setTimeout(() => {
      for (const peer of this.#peers) peer.destroy();
    }, CLOSE_TIMEOUT_MS);
    return closed.finally(() => clearTimeout(timer));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Serve starters and monitors on the task server's socket: fd 3 as the starter hands it over, or a path. */
export function serveMonitors(listen: { fd: number } | { path: string }, handlers: MonitorHandlers): MonitorServer {
  return new ListeningServer(listen, handlers);
}
