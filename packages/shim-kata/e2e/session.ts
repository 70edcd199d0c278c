import { createReadStream, createWriteStream, type WriteStream } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { ociProcess } from "../../../e2e/harness/bundle.ts";
import { runOk } from "../../../e2e/harness/process.ts";
import type { ShimKind, ShimYard, StartedShim } from "../../../e2e/harness/shims.ts";
import { ensureImage } from "../src/image/ensure.ts";
import { installedSources } from "../src/image/installed-sources.ts";

const SPEC = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const BUILD = join(import.meta.dirname, "../../../build");
let made = 0;

/** shim-kata as it is built, over real machines. */
export const MACHINES: ShimKind = {
  name: "kata",
  binary: join(BUILD, "bin/containerd-shim-trimaran-kata-v2"),
  style: "2.3",
  isControl: false,
  path: "/usr/sbin:/usr/bin:/sbin:/bin",
};

/** Have the image that these machines boot from. */
export async function ensureBuiltImage(): Promise<void> {
  const sources = installedSources(join(BUILD, "lib/trimaran"), process.execPath);
  await ensureImage(sources, { download: "missing", signal: AbortSignal.timeout(120_000) });
}

/** A client's ends of one process's FIFOs. */
export interface Client {
  readonly paths: { readonly stdin: string; readonly stdout: string; readonly stderr: string };
  readonly stdin: WriteStream | undefined;
  /** At end of file. */
  readonly stdout: Promise<Buffer>;
  readonly stderr: Promise<Buffer>;
}

/** Make FIFOs and open them as a client does. With a terminal there is no stderr. */
export async function openClient(yard: ShimYard, { stdin = false, terminal = false } = {}): Promise<Client> {
  const fifo = async (name: string): Promise<string> => {
    const path = join(yard.containerd.dir, `${name}-${made++}`);
    await runOk(["mkfifo", path]);
    return path;
  };
  const read = (path: string): Promise<Buffer> => buffer(createReadStream(path));
  const paths = {
    stdin: stdin ? await fifo("in") : "",
    stdout: await fifo("out"),
    stderr: terminal ? "" : await fifo("err"),
  };
  return {
    paths,
    stdin: stdin ? createWriteStream(paths.stdin) : undefined,
    stdout: read(paths.stdout),
    stderr: terminal ? Promise.resolve(Buffer.alloc(0)) : read(paths.stderr),
  };
}

/** Create with a client's FIFOs, and start. */
export async function startWith({ shim, bundle, id }: StartedShim, client: Client, terminal = false): Promise<void> {
  await shim.task.create({ id, bundle: bundle.path, rootfs: bundle.mounts, ...client.paths, terminal });
  await shim.task.start({ id });
}

/** Add an exec with a client's FIFOs, and start it. */
export async function execWith(
  { shim, id }: StartedShim,
  execId: string,
  args: readonly string[],
  client: Client | undefined,
  terminal = false,
): Promise<number> {
  const spec = { typeUrl: SPEC, value: Buffer.from(JSON.stringify(ociProcess(args, terminal))) };
  await shim.task.exec({ id, execId, spec, ...client?.paths, terminal });
  return (await shim.task.start({ id, execId })).pid;
}

/** SIGKILL for the task servers of a yard. Resolves with how many there were. */
export async function killTaskServers(yard: ShimYard): Promise<number> {
  let killed = 0;
  for (const folder of await readdir(yard.trimaranState)) {
    const text = await readFile(join(yard.trimaranState, folder, "server.pid"), "utf8").catch(() => "");
    const pid = Number(text.split(" ")[0]);
    const environment = pid > 0 ? await readFile(`/proc/${pid}/environ`, "latin1").catch(() => "") : "";
    if (!environment.includes(yard.tag)) continue;
    process.kill(pid, "SIGKILL");
    killed++;
  }
  return killed;
}

/** Lines that the task servers of a yard have logged: for a failed test. */
export async function serverLog(yard: ShimYard): Promise<string> {
  const folders = await readdir(yard.trimaranState);
  const logs = folders.map((name) => readFile(join(yard.trimaranState, name, "server.log"), "utf8").catch(() => ""));
  return (await Promise.all(logs)).join("");
}
