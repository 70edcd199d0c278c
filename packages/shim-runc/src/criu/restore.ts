import { existsSync, mkdirSync, rmSync } from "node:fs";
import { type Cgroup, type HostFeatures, resctrlTasks } from "@trimaran/linux";
import { type Host, initKey, type MonitoredProcess } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { type Layout, launchFailed } from "../layout.ts";
import type { MountedContainer } from "./mounts.ts";
import {
  loopbackProgram,
  NEWS_SLOT,
  noteRestoredPid,
  ownsNetwork,
  type RestoreRun,
  restoredPid,
  tellVerdict,
  toRun,
} from "./restore-plan.ts";
import { RestoredProcess } from "./restored-process.ts";
import { finishCriu, launchCriu } from "./run.ts";
import { CriuService, POST_RESTORE } from "./service.ts";

const INVENTORY = "inventory.img";

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
  readonly #run: RestoreRun;
  readonly #criu: MonitoredProcess;
  readonly #news: Promise<void>;

  private constructor(parts: RestoreParts, run: RestoreRun, criu: MonitoredProcess, news: Promise<void>) {
    this.#parts = parts;
    this.#run = run;
    this.#criu = criu;
    this.#news = news;
    this.init = new RestoredProcess(criu);
    const pid = restoredPid(this.#folder);
    if (pid !== undefined && parts.host.has(adoptKey(pid))) this.init.attach(this.#adopt(pid));
  }

  /** Prepare it; called again it finds what it has prepared. Throws where there is no checkpoint, or one that cannot be restored. */
  static async prepare(parts: RestoreParts): Promise<Restoration> {
    const { layout, host } = parts;
    const { request, options } = layout;
    const { checkpoint = "" } = request;
    const key = initKey(request.id);
    const folder = criuFolder(request.bundle);
    const work = options.criuWorkPath || folder;
    if (!host.has(key)) {
      check(layout);
      rmSync(folder, { recursive: true, force: true });
      for (const directory of [folder, work]) mkdirSync(directory, { recursive: true, mode: 0o700 });
    }
    const owner = { uid: options.ioUid, gid: options.ioGid };
    const news = Promise.withResolvers<void>();
    const { rootfs, bundle } = request;
    const { spec, cgroupPlan } = layout;
    const target = `${bundle}/rootfs`;
    const hasTerminal = request.stdio.terminal;
    const places = { images: checkpoint, work, folder, target, rootfs, bundle };
    const plan = { ...parts, ...places, spec, cgroup: cgroupPlan, hasTerminal };
    const run: RestoreRun = {
      ...toRun(plan, key),
      stdio: await host.openStdio(key, request.stdio, { ...request, owner }),
      cgroup: parts.cgroup,
      resctrlTasks: resctrlTasks(spec.linux.intelRdt, layout.resctrl),
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
    if (restoredPid(this.#folder) === undefined) check(this.#parts.layout); // criu itself would tell the container's stderr
    this.#criu.openGate();
    const done = finishCriu(this.#run, this.#criu);
    done.catch(() => undefined); // it is awaited below, or what comes first is thrown
    const { request } = this.#run;
    if (request === undefined) await this.#heedScript(done, beforeItRuns);
    else await this.#talk(request, done, beforeItRuns);
    await done;
  }

  async #talk(
    request: () => Uint8Array,
    done: Promise<void>,
    beforeItRuns: (pid: number) => Promise<void>,
  ): Promise<void> {
    try {
      await new CriuService(this.#criu, this.#folder).call(request, async ({ script, pid }) => {
        if (script !== POST_RESTORE) return;
        noteRestoredPid(this.#folder, pid);
        await this.#receive(pid, beforeItRuns);
      });
    } finally {
      await done.catch(() => undefined); // before anything is taken away that it is in
    }
  }

  async #heedScript(done: Promise<void>, beforeItRuns: (pid: number) => Promise<void>): Promise<void> {
    if (restoredPid(this.#folder) === undefined) await Promise.race([this.#news, done]);
    const pid = restoredPid(this.#folder);
    if (pid === undefined) throw new StatusError(Code.Unknown, "criu restore: ended without a process");
    try {
      await this.#receive(pid, beforeItRuns);
    } catch (error) {
      tellVerdict(this.#folder, "no");
      await done.catch(() => undefined);
      throw error;
    }
    tellVerdict(this.#folder, "go");
  }

  /** Everything is there, and stands still. */
  async #receive(pid: number, beforeItRuns: (pid: number) => Promise<void>): Promise<void> {
    const process = this.#adopt(pid);
    await process.spawned();
    this.init.attach(process);
    this.#parts.host.recordProcess(this.#parts.layout.request.bundle, process);
    await this.#raiseLoopback(pid);
    await beforeItRuns(pid);
  }

  /** The adopted process need not be known any more. */
  forget(): void {
    const pid = restoredPid(this.#folder);
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
    if (!ownsNetwork(layout.spec)) return;
    const key = `${this.#criu.key}/loopback`;
    const process = host.launch(key, {
      program: loopbackProgram(pid),
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

  get #folder(): string {
    return criuFolder(this.#parts.layout.request.bundle);
  }
}

/** Where what belongs to a restore is, and criu's logs, unless an operator wants them elsewhere. */
export function criuFolder(bundle: string): string {
  return `${bundle}/criu`;
}

function adoptKey(pid: number): string {
  return `adopt/${pid}`;
}

function check({ request }: Layout): void {
  const { checkpoint = "" } = request;
  if (!existsSync(`${checkpoint}/${INVENTORY}`))
    throw new StatusError(Code.InvalidArgument, `checkpoint: there is no ${INVENTORY} of criu in ${checkpoint}`);
}
