import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { makeFifo } from "../host/program.ts";
import { within } from "./patience.ts";

/** A client's end of a container's output: a process of its own that reads a FIFO, so that it can be stopped or killed. */
export class Reader implements Disposable {
  readonly path: string;
  readonly #child: ChildProcess;
  readonly #chunks: Buffer[] = [];
  readonly #ended: Promise<unknown>;
  #lengthBytes = 0;

  private constructor(path: string, child: ChildProcess) {
    this.path = path;
    this.#child = child;
    child.stdout?.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#lengthBytes += chunk.length;
    });
    this.#ended = once(child, "close");
  }

  /** Make the FIFO if `make`, and begin to read: that waits for a writer, then ends with the last one. */
  static async open(path: string, make = true): Promise<Reader> {
    if (make) await makeFifo(path);
    return new Reader(path, spawn("cat", [path], { stdio: ["ignore", "pipe", "ignore"] }));
  }

  /** What has come so far. */
  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  /** All of it, when end of file has come. */
  async end(limitMs: number): Promise<string> {
    await within(`end of file on ${this.path.slice(this.path.lastIndexOf("/") + 1)}`, this.#ended, limitMs);
    return this.text;
  }

  /** The client is gone. */
  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

/** A client's end of a container's input. */
export class Writer implements Disposable {
  readonly path: string;
  readonly #child: ChildProcess;

  private constructor(path: string, child: ChildProcess) {
    this.path = path;
    this.#child = child;
  }

  /** Make the FIFO and open it for writing, which waits for a reader. */
  static async open(path: string): Promise<Writer> {
    await makeFifo(path);
    const child = spawn("sh", ["-c", 'exec cat > "$1"', "sh", path], { stdio: ["pipe", "ignore", "ignore"] });
    child.stdin?.on("error", () => undefined);
    return new Writer(path, child);
  }

  write(text: string): void {
    this.#child.stdin?.write(text);
  }

  /** Close this end once all is written. */
  async end(): Promise<void> {
    const closed = once(this.#child, "close");
    this.#child.stdin?.end();
    await closed;
  }

  [Symbol.dispose](): void {
    this.#child.kill("SIGKILL");
  }
}

/** A path for a stream's FIFO or file. */
export function streamPath(folder: string, id: string, name: string): string {
  return join(folder, `${id}.${name}`);
}
