import { closeSync, constants, existsSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import {
  type Cgroup,
  type HostFeatures,
  makeMountPoints,
  mountPrivately,
  type ProgramBuilder,
  raiseLoopbackOf,
} from "@trimaran/linux";
import { type Host, initKey, type MonitoredProcess, newProgram } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { type Layout, launchFailed } from "../layout.ts";
import { DESCRIPTORS, networkFd, type Restore, restoreArguments } from "./arguments.ts";
import { externalMounts, type MountedContainer, maybeMasked, mountPoints } from "./mounts.ts";
import { RestoredProcess } from "./restored-process.ts";
import { type CriuRun, finishCriu, launchCriu } from "./run.ts";

const AT_FDCWD = -100;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const S_IFIFO = 0o010000;
const CLONE_ARGS_BYTES = 88;
/** Free for a runtime: the monitor watches it, and tells when the script has written. */
const NEWS_SLOT = 22;
const NETWORK_FD = 10;
const INVENTORY = "inventory.img";
const PID = "restored.pid";
const NEWS = "restored.news";
const VERDICT = "restored.verdict";

/**
 * What criu runs when everything is there and nothing has run yet: init's pid is written down, the monitor told, and the verdict awaited. So
 * the monitor has adopted init before it can end. A verdict other than `go`, or none, and criu takes it all back.
 */
const SCRIPT = `#!/bin/sh
[ "$CRTOOLS_SCRIPT_ACTION" = post-restore ] || exit 0
cd "$TRIMARAN_RESTORE" || exit 1
echo "$CRTOOLS_INIT_PID" > ${PID}.new && mv ${PID}.new ${PID} || exit 1
exec 3<>${VERDICT}
echo > ${NEWS}
read -r verdict <&3
[ "$verdict" = go ]
`;

/** What a restore needs besides the container's layout. */
export interface RestoreParts {
  readonly layout: Layout;
  readonly host: Host;
  readonly cgroup: Cgroup;
  readonly criu: string;
  readonly searchPath: string;
  readonly features: HostFeatures;
  readonly mounted: MountedContainer;
}

/** A container whose Start will restore it: criu waits at the gate, in the container's cgroup, with its rootfs and stdio. */
export class Restoration {
  readonly init: RestoredProcess;
  readonly #parts: RestoreParts;
  readonly #run: CriuRun;
  readonly #criu: MonitoredProcess;
  readonly #news: Promise<void>;

  private constructor(parts: RestoreParts, run: CriuRun, criu: MonitoredProcess, news: Promise<void>) {
    this.#parts = parts;
    this.#run = run;
    this.#criu = criu;
    this.#news = news;
    this.init = new RestoredProcess(criu);
    const pid = this.#readPid();
    if (pid !== undefined && parts.host.has(adoptKey(pid))) this.init.attach(this.#adopt(pid));
  }

  /** Prepare it; called again it finds what it has prepared. Throws where there is no checkpoint, or one that cannot be restored. */
  static async prepare(parts: RestoreParts): Promise<Restoration> {
    const { layout, host } = parts;
    const { request, options } = layout;
    const { checkpoint = "" } = request;
    const key = initKey(request.id);
    const folder = restoreFolder(request.bundle);
    if (!host.has(key)) {
      check(layout);
      rmSync(folder, { recursive: true, force: true });
      mkdirSync(dirname(scriptPath(request.bundle)), { recursive: true, mode: 0o700 });
      if (options.criuWorkPath !== "") mkdirSync(options.criuWorkPath, { recursive: true, mode: 0o700 });
    }
    const owner = { uid: options.ioUid, gid: options.ioGid };
    const stdio = await host.openStdio(key, request.stdio, { ...request, owner });
    const news = Promise.withResolvers<void>();
    const work = options.criuWorkPath || folder;
    const run: CriuRun = {
      key,
      name: "restore",
      criu: parts.criu,
      args: restoreArguments(toRestore(parts, checkpoint, work)),
      env: [`TRIMARAN_RESTORE=${folder}`],
      searchPath: parts.searchPath,
      work,
      stdio,
      cgroup: parts.cgroup,
      gate: true,
      setup: (builder) => setUp(builder, parts),
      inherited: joinedNetwork(layout) === undefined ? [] : [NETWORK_FD],
      prelude: (builder) => makeFifos(builder, folder),
      watches: [NEWS_SLOT],
      onWatch: (slot) => slot === NEWS_SLOT && news.resolve(),
    };
    const criu = launchCriu(host, run);
    try {
      await criu.reachedGate();
    } catch (error) {
      await criu.exited();
      throw error;
    }
    return new Restoration(parts, run, criu, news.promise);
  }

  /** Restore it, and let it go on. Throws what criu says. `beforeItRuns`: everything of it is there, and stands still. */
  async start(beforeItRuns: (pid: number) => Promise<void>): Promise<void> {
    if (this.#readPid() === undefined) check(this.#parts.layout); // criu itself would tell the container's stderr
    this.#criu.openGate();
    const done = finishCriu(this.#run, this.#criu);
    done.catch(() => undefined); // it is awaited below, or what comes first is thrown
    if (this.#readPid() === undefined) await Promise.race([this.#news, done]);
    const pid = this.#readPid();
    if (pid === undefined) throw new StatusError(Code.Unknown, "criu restore: ended without a process");
    try {
      const process = this.#adopt(pid);
      await process.spawned();
      this.init.attach(process);
      this.#parts.host.recordProcess(this.#parts.layout.request.bundle, process);
      await this.#raiseLoopback(pid);
      await beforeItRuns(pid);
    } catch (error) {
      this.#tell("no");
      await done.catch(() => undefined);
      throw error;
    }
    this.#tell("go");
    await done;
  }

  /** The adopted process need not be known any more. */
  forget(): void {
    const pid = this.#readPid();
    if (pid !== undefined) this.#parts.host.forget(adoptKey(pid));
  }

  #adopt(pid: number): MonitoredProcess {
    return this.#parts.host.launch(adoptKey(pid), {
      program: new Uint8Array(0),
      describe: () => new StatusError(Code.Unavailable, "the restored process has ended"),
    });
  }

  /** criu makes a network namespace that is empty, as a new one is. */
  async #raiseLoopback(pid: number): Promise<void> {
    const { layout, host } = this.#parts;
    if (!ownsNetwork(layout)) return;
    const key = `${this.#criu.key}/loopback`;
    const builder = newProgram("linux.namespaces network");
    builder.op("CLONE", [builder.data.space(CLONE_ARGS_BYTES), 0, 0]);
    raiseLoopbackOf(builder, pid);
    builder.op("EXIT", [0]);
    const { bytes } = builder.build();
    const process = host.launch(key, {
      program: bytes,
      describe: (step, errno) => launchFailed(`linux.namespaces network: lo stays down (step ${step}, errno ${errno})`),
    });
    try {
      await process.spawned();
      const { exit } = await process.exited();
      if (exit.kind !== "exited" || exit.code !== 0)
        throw launchFailed("linux.namespaces network: lo stays down in what was restored");
    } finally {
      host.forget(key);
    }
  }

  #readPid(): number | undefined {
    try {
      return Number(readFileSync(`${restoreFolder(this.#parts.layout.request.bundle)}/${PID}`, "utf8"));
    } catch {
      return undefined;
    }
  }

  /** Whoever was to hear it may have heard it from an earlier task server. */
  #tell(verdict: "go" | "no"): void {
    const path = `${restoreFolder(this.#parts.layout.request.bundle)}/${VERDICT}`;
    let fd: number;
    try {
      fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENXIO") return;
      throw error;
    }
    try {
      writeSync(fd, `${verdict}\n`);
    } finally {
      closeSync(fd);
    }
  }
}

/** Where what belongs to a restore is, and its log, unless an operator wants that elsewhere. */
export function restoreFolder(bundle: string): string {
  return `${bundle}/criu`;
}

function adoptKey(pid: number): string {
  return `adopt/${pid}`;
}

function check({ request }: Layout): void {
  const { checkpoint = "" } = request;
  if (!existsSync(`${checkpoint}/${INVENTORY}`))
    throw new StatusError(Code.InvalidArgument, `checkpoint: there is no ${INVENTORY} of criu in ${checkpoint}`);
  if (request.stdio.terminal)
    throw new StatusError(Code.FailedPrecondition, "checkpoint: a container with a terminal can't be restored");
}

function ownsNetwork({ spec }: Layout): boolean {
  const network = spec.linux.namespaces.get("network");
  return network !== undefined && network.path === undefined;
}

function joinedNetwork({ spec }: Layout): string | undefined {
  return spec.linux.namespaces.get("network")?.path;
}

function toRestore({ layout, mounted }: RestoreParts, images: string, work: string): Restore {
  const { request, spec, cgroupPlan } = layout;
  const below = (directory: string, mountPoint: string) => directory.slice(mountPoint.replace(/\/+$/, "").length);
  const { unified, unifiedMountPoint = "" } = cgroupPlan;
  return {
    images,
    work,
    root: `${request.bundle}/rootfs`,
    mounts: [...externalMounts(mounted), ...maybeMasked(spec)],
    cgroups: [
      ...cgroupPlan.hierarchies.flatMap(({ controllers, mountPoint, directory }) =>
        controllers.map((name) => ({ controllers: name, path: below(directory, mountPoint) })),
      ),
      ...(unified === undefined ? [] : [{ controllers: "", path: below(unified, unifiedMountPoint) }]),
    ],
    inherited: [
      ...pipesOf(images).flatMap((name, fd) => (name.startsWith("pipe:[") ? [{ fd, name }] : [])),
      ...(joinedNetwork(layout) === undefined ? [] : [networkFd(NETWORK_FD)]),
    ],
    emptyNetwork: ownsNetwork(layout),
    script: scriptPath(request.bundle),
  };
}

/** Untrusted: an image may come from anywhere. */
function pipesOf(images: string): string[] {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(`${images}/${DESCRIPTORS}`, "utf8"));
  } catch {
    return []; // whoever made it knew of none
  }
  if (!Array.isArray(parsed)) return [];
  return parsed
    .slice(0, 3)
    .map((name: unknown) => (typeof name === "string" && /^pipe:\[[0-9]+\]$/.test(name) ? name : ""));
}

function setUp(builder: ProgramBuilder, { layout, features, mounted }: RestoreParts): void {
  const { request, spec } = layout;
  const network = joinedNetwork(layout);
  const target = `${request.bundle}/rootfs`;
  mountPrivately(builder, { rootfs: request.rootfs, bundle: request.bundle, host: features, spec }, target);
  makeMountPoints(builder, target, mountPoints(mounted));
  placeScript(builder, request.bundle);
  if (network === undefined) return;
  builder.field = "linux.namespaces network";
  const fd = builder.call("openat", [AT_FDCWD, builder.data.string(network), O_CLOEXEC], { action: "open namespace" });
  builder.sys("dup3", [fd, NETWORK_FD, 0]);
  builder.release(fd);
}

/** criu executes a file, and bundles may be where nothing may be executed: in its own mount namespace there is a place for it. */
function placeScript(builder: ProgramBuilder, bundle: string): void {
  const { data } = builder;
  const type = data.string("tmpfs");
  const path = scriptPath(bundle);
  builder.field = "checkpoint";
  builder.sys("mount", [type, data.string(dirname(path)), type, 0, data.string("mode=700")]);
  const flags = O_WRONLY | O_CREAT | O_CLOEXEC;
  const file = builder.call("openat", [AT_FDCWD, data.string(path), flags, 0o700]);
  builder.sys("write", [file, data.string(SCRIPT), Buffer.byteLength(SCRIPT)]);
  builder.sys("close", [file]);
  builder.release(file);
}

function scriptPath(bundle: string): string {
  return `${restoreFolder(bundle)}/bin/restored`;
}

/** Opened for both directions, so that neither side waits for the other, and what was written before a restart is there after it. */
function makeFifos(builder: ProgramBuilder, folder: string): void {
  builder.field = "checkpoint";
  for (const name of [NEWS, VERDICT])
    builder.sys("mknodat", [AT_FDCWD, builder.data.string(`${folder}/${name}`), S_IFIFO | 0o600, 0]);
  const path = builder.data.string(`${folder}/${NEWS}`);
  const fd = builder.call("openat", [AT_FDCWD, path, O_RDWR | O_NONBLOCK | O_CLOEXEC, 0]);
  builder.op("KEEP", [fd, NEWS_SLOT]);
  builder.release(fd);
}
