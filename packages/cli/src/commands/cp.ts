import { type ChildProcessByStdio, spawn } from "node:child_process";
import { lstat, mkdtemp, rename, rm } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { PassThrough, type Readable, type Writable } from "node:stream";
import { Code, findContainer, ManagerError } from "@trimaran/manager";
import { type PipedExit, runPiped } from "../attach/piped-process.ts";
import type { ManagerFlags } from "../cli-context.ts";
import { type CopyPlace, parseCopyPlace } from "../flags/parse-copy-place.ts";
import { command } from "../report-error.ts";

/**
 * `trimaran cp`. A tar stream through a process in the container, as kubectl does it: whatever keeps the container's files from the host,
 * a namespace or a virtual machine, its own tar sees them as its processes do, and no link of a container leads us astray.
 */
export const cp = command<ManagerFlags, [string, string]>("cp", async (context, flags, [from, to]) => {
  const [source, target] = [parseCopyPlace(from), parseCopyPlace(to)];
  await using client = await context.openClient(flags, "write");
  if (source.id !== undefined && target.id === undefined) {
    const container = await findContainer(client, source.id);
    await copyOut(source, target, (args, output) => runPiped(client, container, args, { output }));
  } else if (source.id === undefined && target.id !== undefined) {
    const container = await findContainer(client, target.id);
    await copyIn(source, target, (args, input) => runPiped(client, container, args, { input }));
  } else {
    throw new ManagerError(
      Code.InvalidArgument,
      "one of the two must be CONTAINER:PATH, the other a path of the host",
      {
        hint: "trimaran cp web:/etc/hosts hosts",
      },
    );
  }
  return 0;
});

/** Into a fresh directory beside the target first: nothing that is there already is written through. */
async function copyOut(
  { path }: CopyPlace,
  target: CopyPlace,
  pipe: (args: readonly string[], output: Writable) => Promise<PipedExit>,
): Promise<void> {
  const name = basename(path);
  const into = target.isDirectory ? join(resolve(target.path), name) : resolve(target.path);
  const temporary = await mkdtemp(join(dirname(into), ".trimaran-cp-"));
  try {
    const unpack = spawn("tar", ["-x", "-f", "-", "-C", temporary], { stdio: ["pipe", "ignore", "pipe"] });
    const unpacked = ended(unpack, "tar");
    unpacked.catch(() => {}); // what went wrong in the container explains it better
    const exit = await pipe(["tar", "-c", "-f", "-", "-C", dirname(path), "--", name], unpack.stdin);
    checkExit(exit, path);
    await unpacked;
    await refuseExisting(into);
    await rename(join(temporary, name), into);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

async function copyIn(
  { path }: CopyPlace,
  target: CopyPlace,
  pipe: (args: readonly string[], input: Readable) => Promise<PipedExit>,
): Promise<void> {
  const absolute = resolve(path);
  await lstat(absolute);
  const name = target.isDirectory ? basename(absolute) : basename(target.path);
  const directory = target.isDirectory ? target.path : dirname(target.path);
  // The name is the first component of each member; in tar's replacement & and \ mean something.
  const transform = `flags=rSH;s,^[^/]*,${name.replace(/[&\\,]/g, "\\$&")},`;
  const words = ["-c", "-f", "-", "--transform", transform, "-C", dirname(absolute), "--", basename(absolute)];
  const pack = spawn("tar", words, { stdio: ["ignore", "pipe", "pipe"] });
  const archive = pack.stdout.pipe(new PassThrough()); // Node throws away what nobody reads when the child exits
  const packed = ended(pack, "tar");
  packed.catch(() => {});
  const exit = await pipe(["tar", "-x", "-f", "-", "-C", directory], archive);
  checkExit(exit, target.path);
  await packed;
}

async function refuseExisting(path: string): Promise<void> {
  const stat = await lstat(path).catch(() => undefined);
  if (stat?.isDirectory() !== true) return; // a file is replaced, as cp does
  throw new ManagerError(Code.AlreadyExists, `${path}: is a directory`, { hint: `trimaran cp … ${path}/` });
}

function checkExit({ status, stderr }: PipedExit, path: string): void {
  if (status === 0) return;
  throw new ManagerError(
    Code.Unknown,
    `${path}: tar in the container ended with ${status}${stderr ? `: ${stderr}` : ""}`,
  );
}

type Tar = ChildProcessByStdio<Writable | null, Readable | null, Readable>;

function ended(child: Tar, name: string): Promise<void> {
  const said: Buffer[] = [];
  child.stderr.on("data", (chunk: Buffer) => said.push(chunk));
  return new Promise((done, reject) => {
    child.once("error", reject);
    child.once("close", (code) => {
      if (code === 0) return done();
      const text = Buffer.concat(said).toString("utf8").trim();
      reject(new ManagerError(Code.Unknown, `${name} ended with ${code}: ${text}`));
    });
  });
}
