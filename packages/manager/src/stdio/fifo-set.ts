import { constants, openSync } from "node:fs";
import { type FileHandle, mkdtemp, open, rm } from "node:fs/promises";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Syscalls } from "../host/syscalls.ts";
import type { TaskIo } from "../tasks/task-io.ts";

/** What the client of one process wants of its streams. */
export interface StdioRequest {
  readonly terminal: boolean;
  readonly stdin: boolean;
}

/**
 * The client's side of a task's stdio: FIFOs in a private directory (0700) of its own, opened here. stdout and stderr begin to
 * flow as soon as they are read, and end when the shim has closed its ends. Disposing removes the directory.
 */
export class FifoSet implements AsyncDisposable {
  /** What to put into Create or Exec. */
  readonly io: TaskIo;
  readonly stdin: Socket | undefined;
  readonly stdout: Socket;
  readonly stderr: Socket | undefined;
  readonly #directory: string;
  readonly #holders: FileHandle[];
  readonly #keepers: FileHandle[];

  private constructor(
    directory: string,
    io: TaskIo,
    streams: readonly [Socket | undefined, Socket, Socket | undefined],
    { holders, keepers }: { readonly holders: FileHandle[]; readonly keepers: FileHandle[] },
  ) {
    this.#directory = directory;
    this.io = io;
    [this.stdin, this.stdout, this.stderr] = streams;
    this.#holders = holders;
    this.#keepers = keepers;
  }

  static async open(request: StdioRequest, syscalls: Syscalls): Promise<FifoSet> {
    await using undo = new AsyncDisposableStack();
    const directory = await mkdtemp(join(tmpdir(), "trimaran-fifo-")); // mkdtemp makes it 0700
    undo.defer(() => rm(directory, { recursive: true, force: true }));
    const holders: FileHandle[] = [];
    const keepers: FileHandle[] = [];
    const make = async (name: string, wanted: boolean, flags: number): Promise<[string, Socket | undefined]> => {
      if (!wanted) return ["", undefined];
      const path = join(directory, name);
      syscalls.mkfifo(path, 0o700);
      // Held in both directions until the shim has its own ends: before that, a reader would see an end, a writer none.
      holders.push(undo.use(await open(path, constants.O_RDWR | constants.O_NONBLOCK | constants.O_NOFOLLOW)));
      const fd = openSync(path, flags | constants.O_NONBLOCK | constants.O_NOFOLLOW); // the socket owns it
      const reads = flags === constants.O_RDONLY;
      // A reader of ours keeps what was written if we have gone on before the shim opens its end: upstream's Start does not wait for that.
      if (!reads)
        keepers.push(undo.use(await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)));
      const socket = new Socket({ fd, readable: reads, writable: !reads });
      undo.defer(() => void socket.destroy());
      return [path, socket];
    };
    const [stdin, stdinStream] = await make("stdin", request.stdin, constants.O_WRONLY);
    const [stdout, stdoutStream] = await make("stdout", true, constants.O_RDONLY);
    const [stderr, stderrStream] = await make("stderr", !request.terminal, constants.O_RDONLY);
    if (stdoutStream === undefined) throw new Error("stdout has no FIFO");
    undo.move(); // from here on the set owns all of it
    const io = { terminal: request.terminal, stdin, stdout, stderr };
    return new FifoSet(directory, io, [stdinStream, stdoutStream, stderrStream], { holders, keepers });
  }

  /** To be called once the process is started, so that the ends of the streams can be seen. */
  async release(): Promise<void> {
    await Promise.all(this.#holders.splice(0).map((holder) => holder.close()));
  }

  /** When stdout and stderr have ended, that is, when the shim has closed them. */
  async ended(): Promise<void> {
    await Promise.all([this.stdout, this.stderr].map((stream) => stream && streamEnd(stream)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
    await Promise.all(this.#keepers.splice(0).map((keeper) => keeper.close()));
    for (const stream of [this.stdin, this.stdout, this.stderr]) stream?.destroy();
    await rm(this.#directory, { recursive: true, force: true });
  }
}

function streamEnd(stream: Socket): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  if (stream.readableEnded || stream.destroyed) resolve();
  stream.once("end", resolve).once("close", resolve);
  return promise;
}
