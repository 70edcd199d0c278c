import { randomBytes } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { readHostFeatures } from "@trimaran/linux";
import type { ContainerCgroups, CreateRequest, Host, MonitoredProcess } from "@trimaran/shim-core";
import type { AgentConnection } from "../agent/connection.ts";
import { readConfig } from "../container/bundle-config.ts";
import { readPodNetwork } from "../network/pod-network.ts";
import { disconnectTap } from "../network/tap.ts";
import type { Guest, GuestContainer } from "../pod/guest.ts";
import { readLastWords } from "../qemu/console.ts";
import { vmPaths } from "../qemu/plan.ts";
import { GUEST_SHARE, shareLayout } from "../storage/layout.ts";
import type { SharePlan } from "../storage/programs.ts";
import { findShare, type Share } from "../storage/share.ts";
import { planVolumes } from "../storage/volumes.ts";
import { machineIdOf, type PodPlaces } from "./places.ts";
import { describeExit, endQemu, findQemuProcess } from "./qemu-process.ts";

/** Entropy for a clone, of the host's. */
const ENTROPY_BYTES = 64;
const HOST_NAME_LIMIT = 63;
const SIGKILL = 9;

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

/** One pod's machine, with its file share. */
export class MachineGuest implements Guest {
  readonly vmm: MonitoredProcess;
  readonly agentSocket: string;
  readonly isMachine = true;
  readonly agent: AgentConnection | undefined;
  readonly #parts: MachineParts;
  readonly #share: Share;
  #how = "";

  constructor(parts: MachineParts) {
    this.#parts = parts;
    this.vmm = findQemuProcess(parts.host, parts.places.key);
    this.agent = parts.agent;
    this.agentSocket = vmPaths(parts.places.machine).agent;
    this.#share = findShare(parts.host, parts.plan, readHostFeatures());
    void this.vmm.exited().then((exit) => {
      this.#how = describeExit(exit);
    });
  }

  explainEnd(): string {
    const { reason, lines } = readLastWords(vmPaths(this.#parts.places.machine).console);
    const words = reason ?? lines.at(-1);
    return `qemu: ${this.#how || "has ended"}${words === undefined ? "" : `; the guest's console: ${words}`}`;
  }

  async prepare(agent: AgentConnection): Promise<void> {
    const { host, namespace, podId } = this.#parts;
    const refresh = {
      entropy: randomBytes(ENTROPY_BYTES),
      wallClockNs: host.nowNs(),
      hostname: podId.slice(0, HOST_NAME_LIMIT),
      machineId: machineIdOf(namespace, podId),
    };
    const path = this.#networkNamespace();
    const pod = path === undefined ? undefined : readPodNetwork(path);
    const network = { interfaces: [...(pod?.interfaces ?? [])], routes: [...(pod?.routes ?? [])] };
    await agent.call(({ agent: services }, options) =>
      Promise.all([
        services.refresh(refresh, options),
        services.mountShare({ target: GUEST_SHARE }, options),
        services.configureNetwork(network, options),
      ]),
    );
  }

  #networkNamespace(): string | undefined {
    const bundle = readMark(this.#parts.places);
    return bundle === undefined ? undefined : readConfig(bundle).spec.linux.namespaces.get("network")?.path;
  }

  async share({ request, spec }: GuestContainer): Promise<CreateRequest["rootfs"]> {
    await this.#share.add({ request, spec, volumes: planVolumes(spec.mounts) });
    return [this.#share.rootfsMount(request.id)];
  }

  async unshare({ request, spec }: GuestContainer): Promise<void> {
    await this.#share.remove(request.id, planVolumes(spec.mounts).length);
  }

  async kill(): Promise<void> {
    await this.#parts.host.signal(this.vmm, SIGKILL).catch(() => undefined); // it has ended
    await this.vmm.exited();
  }

  async remove(): Promise<void> {
    const { host, places, cgroups } = this.#parts;
    if (host.has(places.key)) {
      await this.kill(); // through our own view of it: one that is found anew would take its news away
      host.forget(places.key);
    }
    await endQemu(host, places.templateKey);
    await endShare(host, places);
    const network = this.#networkNamespace();
    if (network !== undefined) disconnectTap(network);
    const bundle = readMark(places);
    const cgroup = bundle === undefined ? undefined : cgroups.find({ id: this.#parts.podId }, readConfig(bundle).spec);
    if (cgroup && cgroup.processes().length > 0) await cgroup.kill();
    await cgroup?.remove();
    rmSync(places.directory, { recursive: true, force: true });
  }
}

/** End a pod's share, if it has one. */
export async function endShare(host: Host, { directory }: PodPlaces): Promise<void> {
  if (host.keys("share/").length === 0) return;
  const nothing = {
    layout: shareLayout(directory),
    binaries: { bridge: "", virtiofsd: "" },
    cgroup: { attachFiles: [] },
  };
  await findShare(host, nothing, readHostFeatures()).close();
}

/** The bundle of the pod's first container. Undefined where nothing was made yet. */
function readMark({ ownerMark }: PodPlaces): string | undefined {
  try {
    const mark: unknown = JSON.parse(readFileSync(ownerMark, "utf8"));
    return typeof mark === "object" && mark !== null && "bundle" in mark ? String(mark.bundle) : undefined;
  } catch {
    return undefined;
  }
}
