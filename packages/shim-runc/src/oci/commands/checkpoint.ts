import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, mkdtempSync, openSync, readlinkSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { describeFailure } from "@trimaran/linux";
import { cgroupViews } from "../../cgroup-views.ts";
import { type CheckpointWishes, DESCRIPTORS, type Dump, dumpArguments } from "../../criu/arguments.ts";
import { findCriu } from "../../criu/binary.ts";
import { externalMounts, type MountedContainer, maskedFilesOf } from "../../criu/mounts.ts";
import { criuFailure, criuProgram, finishCriu } from "../../criu/run.ts";
import { askForDump, asService } from "../../criu/service.ts";
import type { Command, Context } from "../context.ts";
import { type Flags, UsageError } from "../flags.ts";
import { PassingMonitor } from "../passing-monitor.ts";
import { expect, type Found, find } from "../status.ts";
import { onlyId } from "./create.ts";
import { removeIfThere } from "./delete.ts";

const DEFAULT_IMAGES = "checkpoint";
const REFUSED = ["parent-path", "pre-dump", "lazy-pages", "page-server", "status-fd", "auto-dedup"];

/** Save a container by `criu dump`; without --leave-running it is gone then. */
export const checkpoint: Command = async (context, flags, words) => {
  refuse("checkpoint", flags, REFUSED);
  const found = find(context, onlyId(words));
  expect(found, "checkpoint", "running", "paused");
  const leaveRunning = flags.has("leave-running");
  const { images, work } = criuPlaces(context, flags);
  const { pid } = found.record.init;
  const spec = found.spec();
  const network = spec.linux.namespaces.get("network");
  const program = requireCriu(context);
  for (const directory of [images, work]) mkdirSync(directory, { recursive: true, mode: 0o700 });
  writeFileSync(
    `${images}/${DESCRIPTORS}`,
    JSON.stringify([0, 1, 2].map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))),
  );
  await found.cgroup.lendFreezer(found.status === "paused", async (freezer) => {
    const wanted: Dump = {
      images,
      work,
      pid,
      leaveRunning,
      mounts: externalMounts(mountedOf(context, found)).map(({ target }) => target),
      masked: maskedFilesOf(spec, pid),
      network: network?.path === undefined ? undefined : String(statSync(`/proc/${pid}/ns/net`).ino),
      freezer,
      wishes: toWishes(flags, network !== undefined && network.path === undefined),
    };
    if (spec.process?.terminal === true) await dumpByService(context, program, wanted);
    else await dump(program, dumpArguments(wanted), work);
  });
  if (!leaveRunning) await removeIfThere(context, found.record.id); // its `run` may be at it, too
  return 0;
};

/** Where a checkpoint and criu's logs are, or are to be: `./checkpoint`, and in there, as long as nothing else is said. */
export function criuPlaces({ cwd }: Context, flags: Flags): { readonly images: string; readonly work: string } {
  const images = resolve(cwd, flags.text("image-path") ?? DEFAULT_IMAGES);
  return { images, work: resolve(cwd, flags.text("work-path") ?? images) };
}

/** Flags of runc's for what is not done: an error, never ignored. Throws UsageError. */
export function refuse(verb: string, flags: Flags, names: readonly string[]): void {
  const name = names.find((one) => flags.has(one) || (flags.text(one) ?? "false") !== "false");
  if (name !== undefined) throw new UsageError(`${verb}: --${name} is not supported`);
}

/** The criu of PATH. Throws where there is none. */
export function requireCriu({ env }: Context): string {
  const path = searchPathOf(env);
  const program = findCriu(path);
  if (program === undefined) throw new Error(`not implemented: criu is not installed (PATH: ${path})`);
  return program;
}

/** Our own PATH. */
export function searchPathOf(env: Context["env"]): string {
  return env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin";
}

function mountedOf({ kernel }: Context, { record, spec }: Found): MountedContainer {
  return { spec: spec(), bundle: record.bundle, cgroups: cgroupViews(kernel.cgroups, record.cgroup) };
}

/** As runc has it, the interfaces of a namespace of its own are not part of a checkpoint. */
function toWishes(flags: Flags, ownsNetwork: boolean): CheckpointWishes {
  const empty = flags.list("empty-ns");
  return {
    openTcp: flags.has("tcp-established"),
    externalUnixSockets: flags.has("ext-unix-sk"),
    terminal: flags.has("shell-job"),
    fileLocks: flags.has("file-locks"),
    emptyNamespaces: ownsNetwork && !empty.includes("network") ? [...empty, "network"] : empty,
    cgroupsMode: flags.text("manage-cgroups-mode"),
  };
}

/** Only there it can be said that a terminal's other end is somebody's outside. */
async function dumpByService(context: Context, criu: string, wanted: Dump): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "trimaran-criu-"));
  try {
    await using monitor = await PassingMonitor.open(context.kernel.tools.native, context.monitorProgram);
    const run = { key: "criu", name: "dump", criu, searchPath: searchPathOf(context.env), work: wanted.work } as const;
    const program = criuProgram({ ...run, ...asService(wanted) });
    const process = monitor.launch(run.key, {
      program: program.bytes,
      describe: (step, errno) => new Error(describeFailure(program, step, errno)),
      onSync: async () => 0n,
    });
    await askForDump(process, () => wanted, folder);
    await finishCriu(run, process);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** It needs nobody's help: a child of ours, whose stderr is kept beside its log. */
async function dump(program: string, args: readonly string[], work: string): Promise<void> {
  const stderr = openSync(`${work}/dump.err`, "w", 0o600);
  let child: ChildProcess;
  try {
    child = spawn(program, args, { stdio: ["ignore", "ignore", stderr], cwd: work });
  } finally {
    closeSync(stderr);
  }
  const [code, signal] = (await once(child, "exit")) as [number | null, string | null];
  if (code !== 0)
    throw new Error(criuFailure({ name: "dump", work }, signal === null ? `exit status ${code}` : signal));
}
