import { constants, openSync } from "node:fs";
import { Socket } from "node:net";
import { harmlessLength } from "@trimaran/proto";
import type { RemoteProcess } from "./remote-process.ts";

/**
 * Copies input from a pipe on the host to a process in the guest, until its end. A task server that is killed between its read of the pipe and its write to the
 * guest's socket, which is the same turn of its loop, loses what it has read; nothing is written twice.
 */
export class InputPump {
  /** Resolves when there is no more to copy, or nobody wants it. */
  readonly ended: Promise<void>;
  readonly #target: Pick<RemoteProcess, "write">;
  readonly #pipe: Socket;
  #offset: number;

  /** `path`: of the pipe. `offset`: what the process has had before. Throws where the pipe is gone. */
  constructor(target: Pick<RemoteProcess, "write">, path: string, offset: number) {
    this.#target = target;
    this.#offset = offset;
    this.#pipe = new Socket({
      fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
      readable: true,
      writable: false,
    });
    this.#pipe.on("error", () => undefined); // the loop below ends
    this.ended = this.#copy()
      .catch(() => undefined) // the guest has ended
      .finally(() => this.#pipe.destroy());
  }

  async #copy(): Promise<void> {
    for await (const chunk of this.#pipe as AsyncIterable<Buffer>)
      for (let rest = chunk; rest.length > 0; ) {
        const length = harmlessLength(rest);
        if (!(await this.#write(rest.subarray(0, length), false))) return;
        rest = rest.subarray(length);
      }
    await this.#write(Buffer.alloc(0), true);
  }

  /** Whether more is wanted. */
  async #write(data: Uint8Array, end: boolean): Promise<boolean> {
    const isWanted = await this.#target.write(this.#offset, data, end);
    this.#offset += data.length;
    return isWanted;
  }
}
