import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { PATIENCE } from "./patience.ts";

/** Where Node's inspector listens after SIGUSR1. Source: nodejs.org, "Debugging Node.js". */
const INSPECTOR = "127.0.0.1:9229";
const LIMIT_MS = 10_000 * PATIENCE;
/** One finds what the finalizers of the one before have let go. */
const COLLECTIONS = 3;

/**
 * What a Node process holds after its garbage was collected, in KiB: JavaScript's heap, and the memory outside of it that belongs to objects
 * in it. The process needs nothing for it: its inspector is opened by a signal, and closed again.
 */
export async function heldKb(pid: number): Promise<number> {
  await using session = await InspectorSession.open(pid);
  for (let n = 0; n < COLLECTIONS; n++) await session.call("HeapProfiler.collectGarbage");
  const { heapUsed, external } = (await session.evaluate("process.memoryUsage()")) as NodeJS.MemoryUsage;
  return Math.round((heapUsed + external) / 1024);
}

/** A connection to the inspector of a process. Disposing closes that inspector, so that the next process can have the port. */
class InspectorSession implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #pending = new Map<number, (answer: Answer) => void>();
  #calls = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.addEventListener("message", ({ data }: MessageEvent) => {
      const answer = JSON.parse(String(data)) as Answer;
      this.#pending.get(answer.id ?? 0)?.(answer); // without an id: a notice
      this.#pending.delete(answer.id ?? 0);
    });
  }

  static async open(pid: number): Promise<InspectorSession> {
    process.kill(pid, "SIGUSR1");
    const socket = new WebSocket(await inspectorUrl(pid));
    const session = new InspectorSession(socket);
    await new Promise<void>((resolve, reject) => {
      socket.addEventListener("open", () => resolve());
      socket.addEventListener("error", () => reject(new Error(`${socket.url}: refused`)));
    });
    assert.equal(await session.evaluate("process.pid"), pid, `another process has ${INSPECTOR}`);
    return session;
  }

  async call(method: string, params: object = {}): Promise<Answer["result"]> {
    const id = ++this.#calls;
    const answered = new Promise<Answer>((resolve) => this.#pending.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params }));
    const late = delay(LIMIT_MS, undefined, { ref: false }).then(() => assert.fail(`${method}: no answer`));
    const { result, error } = await Promise.race([answered, late]);
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  async evaluate(expression: string): Promise<unknown> {
    const params = { expression, returnByValue: true, includeCommandLineAPI: true };
    const { result, exceptionDetails } = (await this.call("Runtime.evaluate", params)) ?? {};
    if (exceptionDetails) throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    return result?.value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.addEventListener("close", () => resolve()));
    await this.evaluate("void setImmediate(require('inspector').close)"); // which ends this connection, so it is answered first
    await Promise.race([closed, delay(LIMIT_MS, undefined, { ref: false })]);
  }
}

interface Answer {
  readonly id?: number;
  readonly result?: { readonly result?: { readonly value?: unknown }; readonly exceptionDetails?: object };
  readonly error?: { readonly message: string };
}

/** Once it listens. */
async function inspectorUrl(pid: number): Promise<string> {
  for (const until = Date.now() + LIMIT_MS; Date.now() < until; await delay(20)) {
    const answer = await fetch(`http://${INSPECTOR}/json/list`).catch(() => undefined);
    const [target] = answer?.ok ? ((await answer.json()) as { webSocketDebuggerUrl?: string }[]) : [];
    if (target?.webSocketDebuggerUrl !== undefined) return target.webSocketDebuggerUrl;
  }
  const command = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "it has ended")).replaceAll("\0", " ");
  return assert.fail(`process ${pid} (${command}) opens no inspector at ${INSPECTOR}`);
}
