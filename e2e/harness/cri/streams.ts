import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { PATIENCE } from "../patience.ts";

const LIMIT_MS = 15_000 * PATIENCE;
/** The first byte of each message says what it belongs to. Source: k8s.io/apimachinery, pkg/util/remotecommand. */
const CHANNEL = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;
/** The kubelet library that is containerd's streaming server knows this one in all versions; only later ones can end stdin alone. */
const PROTOCOL = "v4.channel.k8s.io";

/** What came by each channel of a connection to CRI's streaming server. Disposing closes it, and waits for its end. */
class Connection implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #received = new Map<number, Buffer[]>();
  readonly #closed: Promise<void>;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }: MessageEvent) => {
      if (!(data instanceof ArrayBuffer)) throw new TypeError("a text message of a binary protocol");
      const [channel = -1, ...rest] = Buffer.from(data);
      this.#received.set(channel, [...(this.#received.get(channel) ?? []), Buffer.from(rest)]);
    });
    this.#closed = new Promise((resolve) => socket.addEventListener("close", () => resolve()));
  }

  /** Rejects where the server refuses it. */
  static async open(url: string): Promise<Connection> {
    const socket = new WebSocket(url.replace(/^http/, "ws"), [PROTOCOL]);
    const connection = new Connection(socket); // before its first message
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("error", () => reject(new Error(`${url}: refused`)));
    });
    return connection;
  }

  send(channel: number, data: string | Uint8Array): void {
    this.#socket.send(Buffer.concat([Buffer.of(channel), Buffer.from(data)]));
  }

  received(channel: number): Buffer {
    return Buffer.concat(this.#received.get(channel) ?? []);
  }

  /** Wait until the server has closed it. */
  async ended(): Promise<void> {
    const limit = delay(LIMIT_MS, undefined, { ref: false }).then(() => assert.fail(`open after ${LIMIT_MS} ms`));
    await Promise.race([this.#closed, limit]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.ended();
  }
}

/** A process in a container, as `kubectl exec` and `kubectl attach` have it: a WebSocket to CRI's streaming server. */
export class RemoteProcess implements AsyncDisposable {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  static async open(url: string): Promise<RemoteProcess> {
    return new RemoteProcess(await Connection.open(url));
  }

  get stdout(): string {
    return this.#connection.received(CHANNEL.stdout).toString();
  }

  get stderr(): string {
    return this.#connection.received(CHANNEL.stderr).toString();
  }

  type(text: string): void {
    this.#connection.send(CHANNEL.stdin, text);
  }

  resize(columns: number, rows: number): void {
    this.#connection.send(CHANNEL.resize, JSON.stringify({ Width: columns, Height: rows }));
  }

  /** Wait until stdout has this. */
  async says(pattern: RegExp): Promise<void> {
    const until = Date.now() + LIMIT_MS;
    while (!pattern.test(this.stdout)) {
      if (Date.now() > until) assert.fail(`no ${pattern} in ${JSON.stringify(this.stdout)}`);
      await delay(10);
    }
  }

  /** Wait for its end; the exit status that the server tells. Fails with the server's words if it has none. */
  async exitStatus(): Promise<number> {
    await this.#connection.ended();
    const text = this.#connection.received(CHANNEL.error).toString();
    const { status, details } = JSON.parse(text) as {
      readonly status: string;
      readonly details?: { readonly causes: readonly { readonly reason: string; readonly message: string }[] };
    };
    if (status === "Success") return 0;
    const code = details?.causes.find(({ reason }) => reason === "ExitCode");
    return code === undefined ? assert.fail(text) : Number(code.message);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}

/** One connection to a port of a pod, as `kubectl port-forward` has it. */
export class ForwardedPort implements AsyncDisposable {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  static async open(url: string, port: number): Promise<ForwardedPort> {
    return new ForwardedPort(await Connection.open(`${url}?port=${port}`));
  }

  send(text: string): void {
    this.#connection.send(0, text);
  }

  /** Wait until the other side has closed it; what came, and the server's words of what went wrong. Both begin with the port, little-endian. */
  async ended(): Promise<{ readonly data: string; readonly error: string }> {
    await this.#connection.ended();
    const [data, error] = [0, 1].map((channel) => this.#connection.received(channel).subarray(2).toString());
    return { data: data ?? "", error: error ?? "" };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection[Symbol.asyncDispose]();
  }
}
