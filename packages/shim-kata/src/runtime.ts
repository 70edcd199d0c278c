import { InvalidSpec } from "@trimaran/linux";
import { inSpan } from "@trimaran/proto";
import {
  type Container,
  type CreateRequest,
  type Host,
  initKey,
  type RootfsMount,
  type Runtime,
} from "@trimaran/shim-core";
import { type BundleConfig, readConfig } from "./container/bundle-config.ts";
import { type ContainerParts, KataContainer, wantedStreams } from "./container/container.ts";
import { findHolder, openHolder } from "./container/holder.ts";
import { DirectInit, type DirectInitParts } from "./init/direct-init.ts";
import { isDirectInit } from "./init/program.ts";
import { hostNetworkRefused, refuseHostNetwork } from "./network/refuse-host-network.ts";
import type { GuestProvider } from "./pod/guest.ts";
import { type Membership, membershipOf } from "./pod/membership.ts";
import { type Sandbox, Sandboxes } from "./pod/sandbox.ts";
import { sandboxGuest } from "./pod/sandbox-bundle.ts";
import { stopwatch } from "./stopwatch.ts";
import { type GuestDisk, planDisks, type WantedDisk } from "./storage/disks.ts";
import { toGuestResources, toGuestSpec } from "./storage/guest-spec.ts";
import { object } from "./storage/json.ts";
import { planVolumes } from "./storage/volumes.ts";

/** A machine boots, or is cloned; under emulation, on a busy host, that takes its time. */
const BOOT_LIMIT_MS = 120_000;

/** Containers in a virtual machine per pod: what the agent in the guest does. */
export class KataRuntime implements Runtime {
  readonly name = "io.containerd.trimaran-kata.v2";
  readonly version = "0.1.0";
  readonly keepsSandboxes = true;
  /** What happens in a guest its agent tells, over a connection of ours. */
  readonly staysAwake = true;
  readonly #provider: GuestProvider;
  readonly #sandboxes: Sandboxes;

  constructor(provider: GuestProvider) {
    this.#provider = provider;
    this.#sandboxes = new Sandboxes(provider);
  }

  checkOptions(options: CreateRequest["options"]): void {
    this.#provider.checkOptions?.(options);
  }

  /** Machines that are there before their first container. */
  readonly sandboxes: NonNullable<Runtime["sandboxes"]> = {
    start: async (request, host) => {
      if (request.hostNetwork) throw hostNetworkRefused("linux.security_context.namespace_options.network");
      this.#sandboxes.share(request.id, host);
      try {
        const sandbox = await this.#sandboxes.open(sandboxGuest(request), host);
        await sandbox.prepare();
        return { pid: sandbox.guest.vmm.pid, ended: sandbox.guest.vmm.exited() };
      } catch (error) {
        await this.sandboxes.remove(request, host);
        throw error;
      }
    },
    recover: ({ id, namespace }, host) => {
      this.#sandboxes.share(id, host);
      const { vmm } = this.#sandboxes.find(id, namespace, host).guest;
      return { pid: vmm.pid, ended: vmm.exited() };
    },
    remove: async ({ id, namespace }, host) => {
      this.#sandboxes.find(id, namespace, host);
      await this.#sandboxes.remove(id, host);
    },
  };

  async create(request: CreateRequest, host: Host): Promise<Container> {
    const lap = stopwatch();
    const config = readConfig(request.bundle);
    const membership = this.#membership(config, host);
    refuseHostNetwork(config.spec);
    const wanted = planDisks(config.spec);
    const podId = podIdOf(membership, request.id);
    const ownsGuest = membership.kind !== "member";
    let sandbox: Sandbox | undefined;
    try {
      sandbox = ownsGuest
        ? await inSpan("machine", () => this.#sandboxes.open({ owner: request, podId, spec: config.json }, host))
        : this.#sandboxes.find(podId, request.namespace, host);
      const machineMs = lap();
      const { guest } = sandbox;
      const prepared = inSpan("prepare the guest", sandbox.prepare.bind(sandbox));
      prepared.catch(() => undefined); // read below; what fails meanwhile is the error
      const fresh = !host.has(initKey(request.id));
      const holder = await openHolder(host, initKey(request.id), request.stdio, request);
      const rootfs = await inSpan("share the root", () => guest.share({ request, spec: config.spec, disks: wanted }));
      await prepared;
      const disks = wanted.length === 0 ? [] : await attachDisks(sandbox, wanted);
      const prepareMs = lap();
      const first = this.#firstOf(membership, host);
      const inside = { request, config, first, sandbox, rootfs, disks };
      const direct = this.#directParts(inside, ownsGuest);
      const made = await inSpan("create in the guest", async () =>
        direct ? { direct: await DirectInit.create(direct, rootfs) } : { initPid: await this.#createInside(inside) },
      );
      const container = this.#container({ request, config, host, sandbox, holder, ownsGuest, ...made });
      await container.attach(fresh);
      const steps = { machine_ms: machineMs, prepare_ms: prepareMs, create_ms: lap() };
      host.log.info("container ready", { id: request.id, ...steps });
      return container;
    } catch (error) {
      await this.#unmake(request, config, host, sandbox, ownsGuest);
      throw error;
    }
  }

  async recover(request: CreateRequest, host: Host): Promise<Container> {
    const config = readConfig(request.bundle);
    const membership = this.#membership(config, host);
    const sandbox = this.#sandboxes.find(podIdOf(membership, request.id), request.namespace, host);
    const holder = findHolder(host, initKey(request.id));
    const ownsGuest = membership.kind !== "member";
    const parts = { request, config, host, sandbox, holder, ownsGuest };
    const wanted = this.#directParts({ ...parts, disks: planDisks(config.spec) }, ownsGuest);
    // where the guest does not answer the agent does not either, and the container is lost below
    const direct = wanted && (await DirectInit.find(wanted).catch(() => undefined));
    const container = this.#container({ ...parts, ...(direct && { direct }) });
    try {
      await container.attach(false);
      sandbox.follow();
    } catch (error) {
      container.init.lost(error instanceof Error ? error.message : String(error)); // its guest has ended, or forgot it
    }
    return container;
  }

  /** In a sandbox that was there first all containers are members, whatever they say. */
  #membership({ spec }: BundleConfig, host: Host): Membership {
    const podId = this.#sandboxes.shared(host);
    return podId === undefined ? membershipOf(spec.annotations) : { kind: "member", podId };
  }

  /** The container whose namespaces a member joins: that of its pod, if there is one. */
  #firstOf(membership: Membership, host: Host): string | undefined {
    return membership.kind === "member" && this.#sandboxes.shared(host) === undefined ? membership.podId : undefined;
  }

  #container(parts: Omit<ContainerParts, "removeGuest">): KataContainer {
    const { request, host, sandbox, direct } = parts;
    if (direct) sandbox.firstPid = () => direct.pid();
    return new KataContainer({ ...parts, removeGuest: () => this.#sandboxes.remove(request.id, host) });
  }

  /** Of a container that the guest's monitor makes; undefined where its agent must. The same for a task server that comes later. */
  #directParts(
    wanted: {
      readonly request: CreateRequest;
      readonly config: BundleConfig;
      readonly sandbox: Sandbox;
      readonly disks: readonly unknown[];
    },
    ownsGuest: boolean,
  ): DirectInitParts | undefined {
    const { request, config, sandbox, disks } = wanted;
    const { execs, agent, guest } = sandbox;
    const { id, stdio } = request;
    if (!ownsGuest || !execs || guest.isMachine !== true || disks.length > 0) return undefined;
    const resources = toGuestResources(object(config.json.linux).resources);
    return isDirectInit(config.spec, resources, stdio) ? { id, config, stdio, execs, agent } : undefined;
  }

  async #createInside(inside: {
    readonly request: CreateRequest;
    readonly config: BundleConfig;
    readonly first: string | undefined;
    readonly sandbox: Sandbox;
    readonly rootfs: readonly RootfsMount[];
    readonly disks: readonly GuestDisk[];
  }): Promise<number> {
    const { request, config, first, sandbox, rootfs, disks } = inside;
    const { id } = request;
    const podPid = first === undefined ? undefined : await podPidOf(sandbox, first);
    const guestSpec = toGuestSpec(config.json, {
      ...{ id, disks },
      volumes: planVolumes(config.spec.mounts, disks),
      ...(podPid !== undefined && { podPid }),
    });
    const spec = Buffer.from(JSON.stringify(guestSpec));
    const files = rootfs.map((mount) => ({ ...mount, options: [...mount.options] }));
    const wanted = { id, spec, rootfs: files, ...wantedStreams(request.stdio) };
    const create = { limitMs: BOOT_LIMIT_MS, what: "CreateContainer" };
    const { pid } = await sandbox.agent.call(
      (services, options) => services.agent.createContainer(wanted, options),
      create,
    );
    return pid;
  }

  async #unmake(
    request: CreateRequest,
    config: BundleConfig,
    host: Host,
    sandbox: Sandbox | undefined,
    ownsGuest: boolean,
  ): Promise<void> {
    const { id, bundle } = request;
    if (ownsGuest) await this.#sandboxes.remove(id, host);
    else if (sandbox) {
      const gone = { id, execId: "" };
      await sandbox.agent
        .call(({ agent }, options) => agent.deleteProcess(gone, options), { limitMs: 5000 })
        .catch(() => undefined); // it was not made, or goes with its machine
      await sandbox.guest.unshare({ request, spec: config.spec }, sandbox.agent);
    }
    host.forget(initKey(id));
    host.clearUndo(bundle);
  }
}

async function attachDisks({ guest, agent }: Sandbox, wanted: readonly WantedDisk[]): Promise<readonly GuestDisk[]> {
  const [{ field = "" } = {}] = wanted;
  if (guest.attachDisks === undefined) throw new InvalidSpec(field, "this guest can have no block devices");
  return await guest.attachDisks(wanted, agent);
}

function podIdOf(membership: Membership, id: string): string {
  return membership.kind === "member" ? membership.podId : id;
}

async function podPidOf({ agent, firstPid }: Sandbox, id: string): Promise<number> {
  if (firstPid) return await firstPid();
  const { pid } = await agent.call((services, options) => services.agent.inspectProcess({ id, execId: "" }, options));
  return pid;
}
