import { constants, openSync, writeFileSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";
import { containerd as codecs, type containerd, taskV2, taskV3 } from "@trimaran/proto";
import { Client, connectUnix, type ServiceClient } from "ttrpc-ts";
import { type Invocation, invoke, parseReply, type ShimOptions, type StartReply } from "./start.ts";

/** What the `delete` command printed. */
export type Deleted = containerd.task.v2.DeleteResponse;

/**
 * A running shim, driven as containerd drives it, by nothing but the contract: any shim-v2 binary will do.
 * Disposing closes the connection and runs `delete`, which is what containerd does when a connection is gone.
 */
export class Shim implements AsyncDisposable {
  readonly options: ShimOptions;
  readonly reply: StartReply;
  readonly client: Client;
  /** The task service: v3 if the reply says 3, as upstream's 2.x serves nothing else; the messages are the same. */
  readonly task: ServiceClient<typeof taskV2> | ServiceClient<typeof taskV3>;
  readonly #log: Socket;
  #deleted = false;

  constructor(options: ShimOptions, reply: StartReply, client: Client, log: Socket) {
    this.options = options;
    this.reply = reply;
    this.client = client;
    this.task = reply.version >= 3 ? client.service(taskV3) : client.service(taskV2);
    this.#log = log;
  }

  /** Run `start` and dial. Throws with the whole output if `start` fails. */
  static async start(options: ShimOptions): Promise<Shim> {
    const log = openLog(options.bundle);
    try {
      const reply = readReply(await (options.invoke ?? invoke)(options, "start"));
      if (reply.form !== "text") keepReply(options.bundle, reply);
      return new Shim(options, reply, new Client(await connectUnix(reply.address)), log);
    } catch (error) {
      log.destroy();
      throw error;
    }
  }

  /** Whether `close` or `abandon` was called. */
  get isClosed(): boolean {
    return this.#deleted;
  }

  /** Delete the task, shut the shim down, close, run `delete`: the end of every container. `beforeShutdown`: what to wait for in between. */
  async remove(
    beforeShutdown: () => Promise<unknown> = async () => undefined,
  ): Promise<containerd.task.v2.DeleteResponse> {
    const { id } = this.options;
    const deleted = await this.task.delete({ id });
    await beforeShutdown();
    await this.task.shutdown({ id }).catch((error: unknown) => {
      if (!(error instanceof Error && error.message === "ttrpc: closed")) throw error; // it may be gone before its answer
    });
    await this.close();
    return deleted;
  }

  /** Close the connection and run the `delete` command. */
  async close(): Promise<Deleted> {
    this.#deleted = true;
    this.client.close();
    try {
      return await runDelete(this.options);
    } finally {
      this.#log.destroy();
    }
  }

  /** Drop connection and log without a word to the shim, as a killed containerd does. */
  abandon(): void {
    this.#deleted = true;
    this.client.close();
    this.#log.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#deleted) await this.close();
  }
}

/** Run the `delete` command. Throws with its words if it fails or prints what is no DeleteResponse. */
export async function runDelete(options: ShimOptions): Promise<Deleted> {
  const done = await (options.invoke ?? invoke)(options, "delete", ["-bundle", options.bundle]);
  if (done.code !== 0) throw new Error(`delete: exit status ${done.code}: ${done.stderr}${done.stdout}`);
  return codecs.task.v2.DeleteResponse.decode(done.stdout);
}

function readReply(done: Invocation): StartReply {
  const all = Buffer.concat([done.stdout, done.stderr]); // for containerd they are one pipe
  if (done.code !== 0) throw new Error(`start: exit status ${done.code}: ${all}`);
  return parseReply(all);
}

/** containerd 2.x writes down where the shim is; `delete` finds it there. */
function keepReply(bundle: string, { version, address, protocol }: StartReply): void {
  writeFileSync(join(bundle, "bootstrap.json"), JSON.stringify({ version, address, protocol }));
}

/** containerd opens the log FIFO before `start`, for reading and writing, without blocking; what comes is read away. */
export function openLog(bundle: string): Socket {
  const fd = openSync(join(bundle, "log"), constants.O_RDWR | constants.O_NONBLOCK);
  const socket = new Socket({ fd, readable: true, writable: false });
  return socket.on("error", () => undefined).resume();
}
