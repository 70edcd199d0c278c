import { mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import type { Cgroup } from "@trimaran/linux";
import {
  type CheckpointRequest,
  type ContainerProcess,
  type Host,
  initKey,
  newProgram,
  SLOT,
  type StdioUris,
} from "@trimaran/shim-core";
import type { Layout } from "../layout.ts";
import { type CriuPlace, DESCRIPTORS, type Dump, dumpArguments } from "./arguments.ts";
import { externalMounts, type MountedContainer, maskedFilesOf } from "./mounts.ts";
import { criuFolder } from "./restore.ts";
import { type CriuRun, finishCriu, launchCriu } from "./run.ts";
import { askForDump, asService } from "./service.ts";

const STATX_BYTES = 256;
/** Of struct statx. */
const STX_INO = 32;
const STATX_BASIC_STATS = 0x7ff;
const AT_EMPTY_PATH = 0x1000;

/** What is to be saved. */
export interface CheckpointParts {
  readonly layout: Layout;
  readonly host: Host;
  readonly cgroup: Cgroup;
  readonly init: ContainerProcess;
  readonly criu: string;
  readonly searchPath: string;
  readonly mounted: MountedContainer;
}

/** Save a container by `criu dump`. Throws the first error that criu tells of; the container then goes on as before. */
export async function takeCheckpoint(parts: CheckpointParts, request: CheckpointRequest): Promise<void> {
  const { layout, host, cgroup, criu, searchPath } = parts;
  const { conn, stream } = request.key;
  const key = `${initKey(layout.request.id)}/dump-${conn}-${stream}`;
  const work = request.workDirectory ?? (layout.options.criuWorkPath || criuFolder(layout.request.bundle));
  const isKnown = host.has(key); // a replay: it runs, or has ended
  const talk = `${criuFolder(layout.request.bundle)}/dump-${conn}-${stream}`;
  if (!isKnown) await prepare(parts, request, [work, talk]);
  try {
    await cgroup.lendFreezer(request.isPaused, async (freezer) => {
      const dump = () => toDump(parts, request, work, freezer);
      const run = { key, name: "dump", criu, searchPath, work } as const;
      if (layout.request.stdio.terminal)
        return await dumpByService(host, run, { images: request.directory, work }, dump, talk);
      const criuRun: CriuRun = { ...run, args: isKnown ? [] : dumpArguments(dump()) };
      await finishCriu(criuRun, launchCriu(host, criuRun));
    });
  } finally {
    rmSync(talk, { recursive: true, force: true });
    setImmediate(() => host.forget(key)); // once the answer is on its way
  }
}

/** Only there it can be said that a terminal's other end is ours. */
async function dumpByService(
  host: Host,
  run: Omit<CriuRun, "args">,
  place: CriuPlace,
  dump: () => Dump,
  folder: string,
): Promise<void> {
  const criu = launchCriu(host, { ...run, ...asService(place) });
  await askForDump(criu, dump, folder);
  await finishCriu(run, criu);
}

async function prepare(
  { init, layout }: CheckpointParts,
  { directory }: CheckpointRequest,
  folders: readonly string[],
): Promise<void> {
  for (const folder of [directory, ...folders]) mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(`${directory}/${DESCRIPTORS}`, JSON.stringify(await descriptors(init, layout.request.stdio)));
}

function toDump(
  { layout: { spec }, init, mounted }: CheckpointParts,
  request: CheckpointRequest,
  work: string,
  freezer: string | undefined,
): Dump {
  const network = spec.linux.namespaces.get("network");
  return {
    images: request.directory,
    work,
    pid: init.pid,
    leaveRunning: !request.exit,
    mounts: externalMounts(mounted).map(({ target }) => target),
    masked: maskedFilesOf(spec, init.pid),
    network: network?.path === undefined ? undefined : String(statSync(`/proc/${init.pid}/ns/net`).ino),
    freezer,
    wishes: withEmptyNetwork(request, network !== undefined && network.path === undefined),
  };
}

/** Interfaces are made by whoever made the container's; a checkpoint holds none. As runc has it. */
function withEmptyNetwork(request: CheckpointRequest, ownsNetwork: boolean): CheckpointRequest {
  const { emptyNamespaces } = request;
  if (!ownsNetwork || emptyNamespaces.includes("network")) return request;
  return { ...request, emptyNamespaces: [...emptyNamespaces, "network"] };
}

/** Names of the pipes that are the container's 0, 1, 2, by the ends that the monitor has: whatever the container did with its own. */
async function descriptors(init: ContainerProcess, stdio: StdioUris): Promise<string[]> {
  if (stdio.terminal) return ["", "", ""];
  const slots = [
    [stdio.stdin, SLOT.stdinTarget],
    [stdio.stdout, SLOT.stdoutSource],
    [stdio.stderr, SLOT.stderrSource],
  ] as const;
  return await Promise.all(slots.map(([uri, slot]) => (uri === "" ? "/dev/null" : pipeName(init, slot))));
}

async function pipeName(init: ContainerProcess, slot: number): Promise<string> {
  const builder = newProgram("stdio");
  const { data } = builder;
  const inode = builder.register(); // register 0: what RUN answers
  const status = data.space(STATX_BYTES);
  const arguments_ = [
    { kind: "slot", index: slot } as const,
    data.string(""),
    AT_EMPTY_PATH,
    STATX_BASIC_STATS,
    status,
  ];
  builder.sys("statx", arguments_);
  builder.op("LOAD", [status.offset + STX_INO, 8], { to: inode });
  const { errno, value } = await init.run(builder.build().bytes);
  return errno === 0 ? `pipe:[${value}]` : "";
}
