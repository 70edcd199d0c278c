import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { FromThread, LayerJob, LayerResults, ToThread } from "./layer-job.ts";
import { fromThrown } from "./thrown-error.ts";

/** How layer threads are kept. */
export interface LayerThreadsOptions {
  /** An existing directory for mount points. Nothing is ever seen in it: threads mount in tables of their own. */
  readonly mountRoot: string;
  /** Jobs that run at the same time; others wait. Default: as many as there are processors. */
  readonly limit?: number;
  /** After so many milliseconds without a job a thread ends and gives its memory back. Default: 2000. */
  readonly idleMs?: number;
}

/** What goes with a job. */
export interface LayerRun {
  /** Ends the job with the signal's reason; what it has done stays. */
  readonly signal?: AbortSignal;
  /** Takes the chunks of a diff, one after the other. */
  readonly write?: (chunk: Uint8Array) => Promise<void>;
}

interface Thread {
  readonly worker: Worker;
  idle: NodeJS.Timeout | undefined;
}

/** The name that it has in the sources, or beside the bundle. */
const ENTRY = new URL(import.meta.url.endsWith(".ts") ? "./layer-worker.ts" : "./layer-worker.js", import.meta.url);

/**
 * Threads for work on many files, so that the process stays responsive: unpack, compare, measure, remove. Started when needed, ended
 * when idle. A thread that is killed with the process leaves no mount behind.
 */
export class LayerThreads implements AsyncDisposable {
  readonly #options: Required<LayerThreadsOptions>;
  readonly #idle: Thread[] = [];
  readonly #all = new Set<Thread>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #isClosed = false;

  constructor(options: LayerThreadsOptions) {
    this.#options = { limit: availableParallelism(), idleMs: 2000, ...options };
  }

  /** Run a job. Throws TarError, LayerError, ManagerError, LayerSystemError, what `write` throws, or the signal's reason. */
  async run<Job extends LayerJob>(job: Job, { signal, write }: LayerRun = {}): Promise<LayerResults[Job["kind"]]> {
    await this.#turn();
    try {
      signal?.throwIfAborted();
      if (this.#isClosed) throw new Error("layers: closed");
      return await this.#runOn(this.#takeThread(), job, signal, write);
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  /** Ends all threads; jobs that still run or wait fail. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#all].map((thread) => this.#end(thread)));
  }

  async #turn(): Promise<void> {
    while (this.#running >= this.#options.limit) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      await promise;
    }
    this.#running++;
  }

  #takeThread(): Thread {
    const idle = this.#idle.pop();
    if (idle === undefined) return this.#startThread();
    clearTimeout(idle.idle);
    idle.worker.ref();
    return idle;
  }

  #startThread(): Thread {
    const thread: Thread = { worker: new Worker(ENTRY, { name: "layers" }), idle: undefined };
    this.#all.add(thread);
    // Whoever has a job there hears of it; without one nobody does, and nobody has to.
    thread.worker.on("error", () => this.#forget(thread));
    thread.worker.on("exit", () => this.#forget(thread));
    return thread;
  }

  async #runOn<Job extends LayerJob>(
    thread: Thread,
    job: Job,
    signal: AbortSignal | undefined,
    write: LayerRun["write"],
  ): Promise<LayerResults[Job["kind"]]> {
    const { promise, resolve, reject } = Promise.withResolvers<Extract<FromThread, { kind: "done" | "failed" }>>();
    let writes = Promise.resolve();
    const post = (message: ToThread) => thread.worker.postMessage(message);
    const onMessage = (message: FromThread) => {
      if (message.kind !== "chunk") return resolve(message);
      writes = writes.then(() => write?.(message.chunk)).then(() => post({ kind: "written" }));
      writes.catch(reject);
    };
    const onExit = () => reject(new Error("layers: the thread has ended"));
    const onAbort = () => reject(signal?.reason);
    thread.worker.on("message", onMessage).on("error", reject).on("exit", onExit);
    signal?.addEventListener("abort", onAbort);
    try {
      post({ kind: "run", job, mountRoot: this.#options.mountRoot });
      const answer = await promise;
      await writes;
      if (answer.isSpent) await this.#end(thread);
      else this.#rest(thread);
      if (answer.kind === "failed") throw fromThrown(answer.error);
      return answer.result as LayerResults[Job["kind"]]; // the thread answers what the job asked
    } catch (error) {
      if (this.#all.has(thread) && !this.#idle.includes(thread)) await this.#end(thread); // it may still be at work
      throw error;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      thread.worker.off("message", onMessage).off("error", reject).off("exit", onExit);
    }
  }

  #rest(thread: Thread): void {
    thread.worker.unref();
    thread.idle = setTimeout(() => void this.#end(thread), this.#options.idleMs).unref();
    this.#idle.push(thread);
  }

  async #end(thread: Thread): Promise<void> {
    this.#forget(thread);
    await thread.worker.terminate();
  }

  #forget(thread: Thread): void {
    clearTimeout(thread.idle);
    const at = this.#idle.indexOf(thread);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#all.delete(thread);
  }
}
