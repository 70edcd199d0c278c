import { mkdirSync, rmSync } from "node:fs";
import type { HostFeatures, Program, Spec } from "@trimaran/linux";
import type { CreateRequest, Exit, Host, MonitoredProcess, UndoStep } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { launchHelper, runHelper, waitAtMost } from "./helper.ts";
import { lastWords } from "./last-words.ts";
import { guestPath } from "./layout.ts";
import { bridgeProgram, daemonProgram, mountProgram, type SharePlan, unmountProgram } from "./programs.ts";
import type { Volume } from "./volumes.ts";

const SIGKILL = 9;
/** virtiofsd ends by itself once the bridge is gone. */
const END_LIMIT_MS = 2000;
const WORDS_LIMIT_MS = 500;
/** A source on a server that does not answer holds up whoever mounts it; that is a child, and nobody waits for ever. */
const MOUNT_LIMIT_MS = 60_000;

/** The monitor's keys of a share. */
function keysOf({ pod }: Pick<SharePlan, "pod">) {
  const key = (name: string) => `share/${pod}/${name}`;
  return {
    ...{ bridge: key("bridge"), daemon: key("daemon") },
    mount: (id: string) => key(`mount/${id}`),
    unmount: (id: string) => key(`unmount/${id}`),
  };
}

/** Whether the monitor knows of a pod's share. */
export function hasShare(host: Host, pod: string): boolean {
  return host.has(keysOf({ pod }).bridge);
}

/** A container whose files are to be shared. */
export interface SharedContainer {
  readonly request: Pick<CreateRequest, "id" | "bundle" | "rootfs">;
  readonly spec: Spec;
  readonly volumes: readonly Volume[];
}

/**
 * The file share of a pod: virtiofsd and the bridge, in a mount namespace that only they have. Made by `openShare`, found again by `findShare`
 * after a restart of the task server.
 */
export class Share {
  readonly #host: Host;
  readonly #plan: SharePlan;
  readonly #features: HostFeatures;
  readonly #bridge: MonitoredProcess;
  readonly #daemon: MonitoredProcess;

  get #keys() {
    return keysOf(this.#plan);
  }

  constructor(host: Host, plan: SharePlan, features: HostFeatures, bridge: MonitoredProcess, daemon: MonitoredProcess) {
    this.#host = host;
    this.#plan = plan;
    this.#features = features;
    this.#bridge = bridge;
    this.#daemon = daemon;
  }

  /** Resolves when the guest has no files any more, whoever went first; `reason` tells why. */
  async ended(): Promise<Exit> {
    if (!this.#isThere) return { kind: "lost", why: "the share is gone" };
    const { exit } = await Promise.race([this.#bridge.exited(), this.#daemon.exited()]);
    return exit;
  }

  /** Mount a container's rootfs and volumes. Again it does nothing. Throws InvalidSpec or the reason by field, and leaves nothing. */
  async add({ request, spec, volumes }: SharedContainer): Promise<void> {
    const { id, bundle, rootfs } = request;
    const rootfsPlan = { rootfs, bundle, spec, host: this.#features };
    const mounts = { id, rootfs: rootfsPlan, binds: volumes };
    const program = mountProgram(this.#plan, await this.#bridge.spawned(), mounts);
    try {
      await this.#run(this.#keys.mount(id), program);
    } catch (error) {
      this.#host.forget(this.#keys.mount(id));
      await this.remove(id, volumes.length).catch(() => undefined); // the first error is the one to be told
      throw error;
    }
  }

  /** Where the guest finds the rootfs, as a mount of its engine. */
  rootfsMount(id: string): CreateRequest["rootfs"][number] {
    return { type: "bind", source: guestPath(id, "rootfs"), target: "", options: ["rbind", "rw"] };
  }

  /** Take a container's mounts away; harmless if they, or the share, are gone. */
  async remove(id: string, volumes: number): Promise<void> {
    this.#host.forget(this.#keys.mount(id));
    if (!this.#isThere || this.#bridge.hasExited) return;
    const key = this.#keys.unmount(id);
    try {
      await this.#run(key, unmountProgram(this.#plan, await this.#bridge.spawned(), id, volumes));
    } catch (error) {
      if (!this.#bridge.hasExited) throw error;
    } finally {
      this.#host.forget(key);
    }
  }

  /** End the share, and with it every mount in it. Called after the guest's end; again after a crash. */
  async close(): Promise<void> {
    await this.#kill(this.#bridge);
    if (this.#host.has(this.#daemon.key)) await waitAtMost(END_LIMIT_MS, this.#daemon.exited());
    await this.#kill(this.#daemon);
    for (const { key } of [this.#bridge, this.#daemon]) this.#host.forget(key);
    const { place, guestSocket, daemonSocket } = this.#plan.layout;
    for (const path of [place.work, place.shared]) rmSync(path, { recursive: true, force: true }); // empty, outside of the namespace
    for (const path of [guestSocket, daemonSocket]) rmSync(path, { force: true });
  }

  /** The last words of both programs; empty where they had none. Until `close`. */
  async reason(): Promise<string> {
    if (this.#daemon.hasExited) await waitAtMost(WORDS_LIMIT_MS, this.#bridge.exited()); // it is about to say so
    const words = await Promise.all([this.#bridge, this.#daemon].map((each) => lastWords(this.#host, each)));
    return words.filter((text) => text !== "").join("; ");
  }

  /** Whether the monitor knows of it: not after `close`, nor where it was never opened. */
  get #isThere(): boolean {
    return this.#host.has(this.#bridge.key);
  }

  async #kill(process: MonitoredProcess): Promise<void> {
    if (!this.#host.has(process.key)) return;
    if (!process.hasExited) await this.#host.signal(process, SIGKILL).catch(() => undefined); // it ended just now
    await process.exited();
  }

  async #run(key: string, program: Program): Promise<void> {
    const { mountLimitMs = MOUNT_LIMIT_MS } = this.#plan;
    await runHelper(this.#host, key, program, { limitMs: mountLimitMs, late: "mounts: a source does not answer" });
  }
}

/** Start a pod's share in an existing directory of its own, or find it where it runs. Throws what failed, and leaves nothing. */
export async function openShare(host: Host, plan: SharePlan, features: HostFeatures): Promise<Share> {
  const keys = keysOf(plan);
  const { place } = plan.layout;
  for (const path of [place.work, place.shared]) mkdirSync(path, { recursive: true, mode: 0o700 });
  const bridge = launchHelper(host, keys.bridge, bridgeProgram(plan));
  let daemon: MonitoredProcess | undefined;
  try {
    daemon = launchHelper(host, keys.daemon, daemonProgram(plan, await bridge.reachedGate()));
    await daemon.execed();
    await bridge.start();
    return new Share(host, plan, features, bridge, daemon);
  } catch (error) {
    await new Share(host, plan, features, bridge, daemon ?? bridge).close();
    throw error;
  }
}

/** The share of an earlier `openShare`, after a restart of the task server. */
export function findShare(host: Host, plan: SharePlan, features: HostFeatures): Share {
  const keys = keysOf(plan);
  const handlers = { describe: (step: number, errno: number) => unknownStep(step, errno) };
  return new Share(host, plan, features, host.find(keys.bridge, handlers), host.find(keys.daemon, handlers));
}

/** What `delete` takes away where all else has failed: the processes are in the pod's cgroup, the mounts go with them. */
export function shareUndo({ place, guestSocket, daemonSocket }: SharePlan["layout"]): UndoStep[] {
  return [
    ...[guestSocket, daemonSocket].map((path) => ({ verb: "unlink", path }) as const),
    ...[place.work, place.shared].map((path) => ({ verb: "rmdir", path }) as const),
  ];
}

function unknownStep(step: number, errno: number): StatusError {
  return new StatusError(Code.Unknown, `share: step ${step}: errno ${errno}`);
}
