import { type FSWatcher, watch } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import type { Writable } from "node:stream";
import {
  type ClientContainer,
  ClientTask,
  Code,
  errnoOf,
  findContainer,
  type ManagerClient,
  ManagerError,
} from "@trimaran/manager";
import type { ManagerFlags } from "../cli-context.ts";
import { command } from "../report-error.ts";

export interface LogsFlags extends ManagerFlags {
  readonly follow: boolean;
}

const CHUNK_BYTES = 65536;
/** After the exit the shim may still be copying: this long without a new byte is the end. */
const SETTLE_MS = 100;

/** `trimaran logs`. */
export const logs = command<LogsFlags, [string]>("logs", async (context, flags, [id]) => {
  await using client = await context.openClient(flags, "read");
  const container = await findContainer(client, id);
  const path = requireLog(container);
  const file = await openLog(path);
  if (file === undefined) return 0; // nothing was written yet
  try {
    await copy(file, context.process.stdout);
    if (flags.follow) await follow(client, container.id, path, () => copy(file, context.process.stdout));
  } finally {
    await file.close();
  }
  return 0;
});

function requireLog({ id, logPath }: ClientContainer): string {
  if (logPath !== undefined) return logPath;
  throw new ManagerError(
    Code.FailedPrecondition,
    `container ${JSON.stringify(id)}: no log, its output went to who ran it`,
    {
      hint: "trimaran run -d …",
    },
  );
}

async function openLog(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** What is new since the last time. */
async function copy(file: FileHandle, target: Writable): Promise<number> {
  const buffer = Buffer.alloc(CHUNK_BYTES);
  let total = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, null);
    if (bytesRead === 0) return total;
    total += bytesRead;
    await new Promise<void>((resolve, reject) => {
      target.write(Buffer.from(buffer.subarray(0, bytesRead)), (error) => (error ? reject(error) : resolve()));
    });
  }
}

/** Until the container's exit, at each change of the file. */
async function follow(client: ManagerClient, id: string, path: string, copyNew: () => Promise<number>): Promise<void> {
  const task = new ClientTask(client, id);
  if ((await task.status()) === undefined) return;
  const changes = new Changes(watch(path));
  try {
    const exited = task.wait().then(() => "exited" as const);
    while ((await Promise.race([changes.next(), exited])) !== "exited") await copyNew();
    do await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    while ((await copyNew()) > 0);
  } finally {
    changes.close();
  }
}

/** Changes of a file, any number of them taken as one. */
class Changes {
  readonly #watcher: FSWatcher;
  #changed = false;
  #wake: () => void = () => {};

  constructor(watcher: FSWatcher) {
    this.#watcher = watcher;
    watcher.on("change", () => {
      this.#changed = true;
      this.#wake();
    });
  }

  async next(): Promise<"changed"> {
    if (!this.#changed) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#changed = false;
    return "changed";
  }

  close(): void {
    this.#watcher.close();
  }
}
