import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { type Cgroup, readHostFeatures, type Spec } from "@trimaran/linux";
import {
  type ContainerCgroups,
  type CreateRequest,
  describeExit,
  type Host,
  type MonitoredProcess,
} from "@trimaran/shim-core";
import type { AgentConnection } from "../agent/connection.ts";
import { readConfig } from "../container/bundle-config.ts";
import { readPodNetwork } from "../network/pod-network.ts";
import { disconnectTap } from "../network/tap.ts";
import type { Guest, GuestContainer } from "../pod/guest.ts";
import { readLastWords } from "../qemu/console.ts";
import { vmPaths } from "../qemu/plan.ts";
import { Qmp } from "../qemu/qmp.ts";
import { type GuestDisk, isGuestDisk, rootfsDevices, type WantedDisk } from "../storage/disks.ts";
import { runHelper } from "../storage/helper.ts";
import { GUEST_SHARE, shareLayout } from "../storage/layout.ts";
import { deviceProgram, type SharePlan } from "../storage/programs.ts";
import { findShare, hasShare, type Share } from "../storage/share.ts";
import { planVolumes } from "../storage/volumes.ts";
import { deviceRules, plugDisk } from "./disks.ts";
import { readOwner } from "./owner-mark.ts";
import { machineIdOf, type PodPlaces } from "./places.ts";
import { endQemu, findQemuProcess } from "./qemu-process.ts";

/** Entropy for a clone, of the host's. */
const ENTROPY_BYTES = 64;
const HOST_NAME_LIMIT = 63;
const SIGKILL = 9;
const FORGET_LIMIT_MS = 2000;
const CONTROL_LIMIT_MS = 10_000;

/** What a pod's machine is found by. */
export interface MachineParts {
  readonly places: PodPlaces;
  readonly host: Host;
  readonly namespace: string;
  readonly podId: string;
  readonly cgroups: ContainerCgroups;
  readonly plan: SharePlan;
  /** One that is there. */
  readonly agent?: AgentConnection;
}

/** The VMM of a removal that a crash has cut short: the monitor has dropped it, and would tell of no end. */
const REMOVED: Guest["vmm"] = {
  pid: 0,
  hasExited: true,
  exited: async () => ({ exit: { kind: "lost", why: "the machine was removed" }, exitedAtNs: 0n }),
};

/** One pod's machine, with its file share. */
export class MachineGuest implements Guest {
  readonly vmm: Guest["vmm"];
  readonly agentSocket: string;
  readonly execSocket: string;
  readonly isMachine = true;
  readonly agent: AgentConnection | undefined;
  readonly #parts: MachineParts;
  readonly #qemu: MonitoredProcess | undefined;
  readonly #share: Share;
  #devices: Promise<unknown> = Promise.resolve();
  #isEnding = false;
  #how = "";
  /** Why its files went first: empty where they did not. */
  #withoutFiles = "";

  constructor(parts: MachineParts) {
    this.#parts = parts;
    const isKnown = parts.host.has(parts.places.key);
    this.#qemu = isKnown ? findQemuProcess(parts.host, parts.places.key) : undefined;
    this.vmm = this.#qemu ?? REMOVED;
    this.agent = parts.agent;
    const { agent, exec } = vmPaths(parts.places.machine);
    this.agentSocket = agent;
    this.execSocket = exec;
    this.#share = findShare(parts.host, parts.plan, readHostFeatures());
    void this.vmm.exited().then(({ exit }) => {
      this.#how = describeExit(exit);
    });
    if (isKnown) void this.#endWithFiles();
  }

  explainEnd(): string {
    const { reason, lines } = readLastWords(vmPaths(this.#parts.places.machine).console);
    const words = reason ?? lines.at(-1);
    const files = this.#withoutFiles && `the pod's files: ${this.#withoutFiles}; `;
    return `${files}qemu: ${this.#how || "has ended"}${words === undefined ? "" : `; the guest's console: ${words}`}`;
  }

  /** A guest whose files are gone can do nothing but fail, each program in its own way: it ends, with the reason. */
  async #endWithFiles(): Promise<void> {
    await Promise.race([this.#share.ended(), this.vmm.exited()]);
    if (this.#isEnding || this.vmm.hasExited || !this.#parts.host.has(this.#parts.places.key)) return;
    this.#withoutFiles = (await this.#share.reason()) || "the file share has ended";
    this.#parts.host.log.error("a pod's file share has ended", { id: this.#parts.podId, error: this.#withoutFiles });
    await this.kill();
  }

  async prepare(agent: AgentConnection): Promise<void> {
    const { host, namespace, podId } = this.#parts;
    const refresh = {
      entropy: randomBytes(ENTROPY_BYTES),
      wallClockNs: host.nowNs(),
      hostname: (this.#spec()?.hostname ?? podId).slice(0, HOST_NAME_LIMIT),
      machineId: machineIdOf(namespace, podId),
    };
    const path = this.#networkNamespace();
    const pod = path === undefined ? undefined : readPodNetwork(path);
    const [interfaces, routes] = [[...(pod?.interfaces ?? [])], [...(pod?.routes ?? [])]];
    const network = { interfaces, routes, sysctls: this.#networkSysctls() };
    const share = { target: GUEST_SHARE };
    await Promise.all([
      agent.call(({ agent: services }, options) => services.refresh(refresh, options), { what: "Refresh" }),
      agent.call(({ agent: services }, options) => services.mountShare(share, options), { what: "MountShare" }),
      agent.call(({ agent: services }, o) => services.configureNetwork(network, o), { what: "ConfigureNetwork" }),
    ]);
  }

  /** Those of the pod's network, which is the guest's. */
  #networkSysctls(): Readonly<Record<string, string>> {
    const wanted = (this.#spec()?.linux.sysctl ?? []).filter(({ kind }) => kind === "network");
    return Object.fromEntries(wanted.map(({ file, value }) => [file, value]));
  }

  #networkNamespace(): string | undefined {
    return this.#spec()?.linux.namespaces.get("network")?.path;
  }

  /** Of the container, or the sandbox, that the machine was made for. */
  #spec(): Spec | undefined {
    const bundle = readOwner(this.#parts.places)?.bundle;
    return bundle === undefined ? undefined : readConfig(bundle).spec;
  }

  /** Undefined where nothing was made yet. */
  #cgroup(): Cgroup | undefined {
    const { places, podId, cgroups } = this.#parts;
    const bundle = readOwner(places)?.bundle;
    return bundle === undefined ? undefined : cgroups.find({ id: podId }, readConfig(bundle).spec);
  }

  async share({ request, spec, disks }: GuestContainer): Promise<CreateRequest["rootfs"]> {
    const add = () => this.#share.add({ request, spec, volumes: planVolumes(spec.mounts, disks) });
    const devices = rootfsDevices(request.rootfs);
    if (devices.length === 0) await add();
    else
      await this.#inTurn(async () => {
        this.#cgroup()?.update({ devices: deviceRules(devices) }); // until the next one's: what is open stays open
        await add();
      });
    return [this.#share.rootfsMount(request.id)];
  }

  attachDisks(wanted: readonly WantedDisk[], agent: AgentConnection): Promise<readonly GuestDisk[]> {
    return this.#inTurn(() => this.#plug(wanted, agent));
  }

  /** One container after the other: each looks for a free number, and has the cgroup's device rules for itself. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#devices.then(work);
    this.#devices = done.catch(() => undefined);
    return done;
  }

  async #plug(wanted: readonly WantedDisk[], agent: AgentConnection): Promise<readonly GuestDisk[]> {
    using qmp = await Qmp.open(vmPaths(this.#parts.places.machine).qmp, AbortSignal.timeout(CONTROL_LIMIT_MS));
    const cgroup = this.#cgroup();
    if (cgroup === undefined) throw new Error("unreachable: a machine that runs has an owner");
    const disks: GuestDisk[] = [];
    for (const disk of wanted) {
      const lun = await plugDisk(qmp, cgroup, (path, name) => this.#show(path, name), disk);
      const found = await agent.call((services, options) => services.agent.findDisk({ lun }, options), {
        what: "FindDisk",
      });
      if (!isGuestDisk(found)) throw agent.lie(`disk ${lun} is ${JSON.stringify(found)}`);
      disks.push({ ...disk, name: found.name, inGuest: found });
    }
    return disks;
  }

  /** QEMU has a root of its own, in which its machine's directory is the place for this. */
  async #show(path: string, name: string): Promise<string> {
    const { host, places, plan } = this.#parts;
    const [key, target] = [`${places.key}/${name}`, join(places.machine, name)];
    const program = deviceProgram(plan.cgroup, this.vmm.pid, { path, target });
    try {
      await runHelper(host, key, program, { limitMs: CONTROL_LIMIT_MS, late: `${path}: not shown to QEMU` });
    } finally {
      host.forget(key);
    }
    return target;
  }

  async unshare({ request, spec }: GuestContainer, agent?: AgentConnection): Promise<void> {
    await this.#share.remove(request.id, planVolumes(spec.mounts).length);
    if (this.vmm.hasExited) return;
    const forget = { path: `${GUEST_SHARE}/${request.id}` };
    await agent
      ?.call((services, options) => services.agent.forgetFiles(forget, options), { limitMs: FORGET_LIMIT_MS })
      .catch(() => undefined); // they stay open as long as the machine lives
  }

  async kill(): Promise<void> {
    this.#isEnding = true; // its files may be gone before QEMU is
    if (this.#qemu === undefined) return;
    await this.#parts.host.signal(this.#qemu, SIGKILL).catch(() => undefined); // it has ended
    await this.vmm.exited();
  }

  async remove(): Promise<void> {
    const { host, places } = this.#parts;
    if (host.has(places.key)) {
      await this.kill();
      host.forget(places.key);
    }
    await endQemu(host, places.templateKey);
    await endShare(host, places);
    const network = this.#networkNamespace();
    if (network !== undefined) disconnectTap(network);
    const cgroup = this.#cgroup();
    if (cgroup && cgroup.processes().length > 0) await cgroup.kill();
    await cgroup?.remove();
    rmSync(places.directory, { recursive: true, force: true });
  }
}

/** End a pod's share, if it has one. */
export async function endShare(host: Host, { directory, podId }: PodPlaces): Promise<void> {
  if (!hasShare(host, podId)) return;
  const nothing = {
    pod: podId,
    layout: shareLayout(directory),
    binaries: { bridge: "", virtiofsd: "" },
    cgroup: { attachFiles: [] },
  };
  await findShare(host, nothing, readHostFeatures()).close();
}
