import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Cgroup, readHostFeatures } from "@trimaran/linux";
import { inSpan } from "@trimaran/proto";
import {
  ContainerCgroups,
  type CreateRequest,
  type Host,
  type MonitoredProcess,
  type UndoStep,
} from "@trimaran/shim-core";
import { AgentConnection } from "../agent/connection.ts";
import { type KataConfig, parseConfig } from "../config/config.ts";
import { machineShape } from "../config/machine-shape.ts";
import { readConfig } from "../container/bundle-config.ts";
import { GuestMonitor } from "../exec/guest-monitor.ts";
import { ensureImage, type GuestImage } from "../image/ensure.ts";
import { installedSources } from "../image/installed-sources.ts";
import { openOwnImage } from "../image/own-image.ts";
import { readPodNetwork, TAP_NAME } from "../network/pod-network.ts";
import { connectTap } from "../network/tap.ts";
import type { Guest, GuestProvider, GuestRequest } from "../pod/guest.ts";
import { chooseAccelerator } from "../qemu/accelerator.ts";
import { findQemu, inspectQemu } from "../qemu/binary.ts";
import { type NetworkBackend, type VmPaths, type VmPlan, vmPaths } from "../qemu/plan.ts";
import { shareLayout } from "../storage/layout.ts";
import type { SharePlan } from "../storage/programs.ts";
import { openShare, type Share, shareUndo } from "../storage/share.ts";
import { startMachine } from "../template/start-machine.ts";
import { defaultTemplates, templateDirectory } from "../template/store.ts";
import { deviceRules } from "./disks.ts";
import { endShare, MachineGuest } from "./machine-guest.ts";
import { writeOwner } from "./owner-mark.ts";
import { type PodPlaces, podPlaces } from "./places.ts";
import { endQemu, findQemuProcess, launchQemu } from "./qemu-process.ts";
import { podLimits } from "./resources.ts";
import { warmUp } from "./warm-up.ts";

/** A pod's machine is there in this time, or not at all. */
const START_LIMIT_MS = 200_000;

/** A template takes that longer than a cold boot: on a busy host half as long as the boot, and one that was nearly ready would be made again by the next pod. */
const WARM_UP_LIMIT_MS = 60_000;

/** What machines are made with. */
export interface MachineOptions {
  /** PREFIX/lib/trimaran: the guest's programs are in its `guest`. */
  readonly libraryDirectory: string;
  /** The Node that goes into the image. */
  readonly node: string;
  /** Where QEMU is looked for. */
  readonly searchPath: string;
  /** TRIMARAN_STATE: pods' folders, templates and what was found out about this host are below. */
  readonly stateDirectory: string;
}

/** QEMU machines: clones of a template, or booted. */
export class MachineGuests implements GuestProvider {
  readonly #options: MachineOptions;
  readonly #cgroups = new ContainerCgroups();

  constructor(options: MachineOptions) {
    this.#options = options;
  }

  checkOptions(options: CreateRequest["options"]): void {
    const { qemuPath } = parseConfig(options);
    findQemu(qemuPath, this.#options.searchPath);
  }

  async open({ owner, podId }: GuestRequest, host: Host): Promise<Guest> {
    const places = podPlaces(this.#options.stateDirectory, owner.namespace, podId);
    const { spec } = readConfig(owner.bundle);
    const known = host.has(places.key) ? findQemuProcess(host, places.key) : undefined;
    if (known && !known.hasExited && existsSync(places.readyMark)) return this.find(podId, owner.namespace, host);
    await endQemu(host, places.key); // an attempt that was cut short
    await endQemu(host, places.templateKey);
    await endShare(host, places);
    const config = parseConfig(owner.options, Object.fromEntries(spec.annotations));
    // the machine's own limits are its size: a limit on QEMU itself would only kill it
    const resources = { devices: deviceRules([]) };
    const cgroup = this.#cgroups.make(owner, { ...spec, linux: { ...spec.linux, resources } }, host);
    host.recordUndo(owner.bundle, [...host.recordedUndo(owner.bundle), ...undoSteps(places)]);
    mkdirSync(places.directory, { recursive: true, mode: 0o700 });
    writeOwner(places, { namespace: owner.namespace, podId, bundle: owner.bundle });
    const network = spec.linux.namespaces.get("network")?.path;
    try {
      const { vmm, agent } = await this.#start({ config, places, host, cgroup, network, limits: podLimits(spec) });
      host.recordProcess(owner.bundle, vmm);
      writeFileSync(places.readyMark, "");
      return this.#guest(podId, owner.namespace, host, agent);
    } catch (error) {
      await this.find(podId, owner.namespace, host).remove();
      throw error;
    }
  }

  find(podId: string, namespace: string, host: Host): Guest {
    return this.#guest(podId, namespace, host, undefined);
  }

  #guest(podId: string, namespace: string, host: Host, agent: AgentConnection | undefined): MachineGuest {
    const places = podPlaces(this.#options.stateDirectory, namespace, podId);
    const parts = { places, host, namespace, podId, cgroups: this.#cgroups, plan: this.#sharePlan(places) };
    return new MachineGuest({ ...parts, ...(agent && { agent }) });
  }

  /** The helpers' cgroup is the pod's. */
  #sharePlan({ directory, podId }: PodPlaces, daemon?: KataConfig["virtiofsd"], cgroup?: Cgroup): SharePlan {
    const into = cgroup?.unifiedDirectory();
    const attachFiles = cgroup?.attachFiles({ clonedIntoUnified: true }) ?? [];
    const binaries = {
      bridge: join(this.#options.libraryDirectory, "trimaran-fsbridge"),
      virtiofsd: daemon?.path ?? "",
      ...(daemon && daemonCache(daemon)),
    };
    return {
      pod: podId,
      layout: shareLayout(directory),
      binaries,
      cgroup: { attachFiles, ...(into === undefined ? {} : { into }) },
    };
  }

  async #start(start: {
    config: KataConfig;
    places: PodPlaces;
    host: Host;
    cgroup: Cgroup;
    network: string | undefined;
    limits: ReturnType<typeof podLimits>;
  }): Promise<{ readonly vmm: MonitoredProcess; readonly agent: AgentConnection }> {
    const { config, places, host, cgroup, network, limits } = start;
    const signal = AbortSignal.timeout(START_LIMIT_MS);
    const began = performance.now();
    const path = findQemu(config.qemuPath, this.#options.searchPath);
    const qemu = await inSpan("qemu --version", () => inspectQemu(path));
    const image = await inSpan("image", () => this.#image(config, signal));
    const launch = (key: string, networkNamespace: string | undefined) => async (plan: VmPlan) => {
      await endQemu(host, key);
      return await launchQemu({ host, key, cgroup, networkNamespace }, plan);
    };
    const startTemplate = launch(places.templateKey, undefined);
    const stateDirectory = join(this.#options.stateDirectory, "kata-host");
    const plan = this.#sharePlan(places, config.virtiofsd, cgroup);
    let share: Share | undefined;
    const startPod = async (vm: VmPlan) => {
      await share?.close(); // it ended with the attempt before
      share = await openShare(host, plan, readHostFeatures());
      return await launch(places.key, network)(vm);
    };
    const probe = { qemu, image, stateDirectory, start: startTemplate, signal };
    const accelerator = await inSpan("accelerator", () => this.#accelerator(config, probe));
    const answers = (paths: VmPaths) => this.#answers(paths, host);
    const machine = await startMachine({
      image,
      qemu,
      shape: machineShape(config, limits, accelerator),
      directory: places.machine,
      network: connectNetwork(network),
      templates: config.template.enabled ? this.#templates(config) : undefined,
      fsSocket: plan.layout.guestSocket,
      start: startPod,
      startTemplate,
      ready: answers,
      readyTemplate: (paths) => this.#warm(paths, host),
      coldLimitMs: config.dialTimeoutMs,
      templateLimitMs: config.dialTimeoutMs + WARM_UP_LIMIT_MS,
      onFallback: (error) => host.log.warning("no clone of a template could be had; the guest boots", { error }),
      signal,
    });
    machine.qmp[Symbol.dispose]();
    await endQemu(host, places.templateKey);
    const durationMs = Math.round(performance.now() - began);
    const { origin, vm, took } = machine;
    const steps = { qemu_ms: took.qemuMs, wake_ms: took.wakeMs, answer_ms: took.answerMs };
    host.log.info("guest ready", { origin, pid: vm.pid, duration_ms: durationMs, ...steps });
    return { vmm: findQemuProcess(host, places.key), agent: machine.agent };
  }

  async #image(config: KataConfig, signal: AbortSignal): Promise<GuestImage> {
    if (config.ownImage) return openOwnImage(config.ownImage);
    const sources = installedSources(this.#options.libraryDirectory, this.#options.node);
    return await ensureImage(sources, { download: "never", signal });
  }

  async #accelerator(config: KataConfig, probe: Parameters<typeof chooseAccelerator>[0]): Promise<"kvm" | "tcg"> {
    if (config.accelerator !== "auto") return config.accelerator;
    return (await chooseAccelerator(probe)).accelerator;
  }

  #templates(config: KataConfig): string {
    const path = config.template.path || templateDirectory(defaultTemplates(this.#options.stateDirectory));
    mkdirSync(path, { recursive: true, mode: 0o700 });
    return path;
  }

  /** Resolves when the agent answers, with the connection. */
  async #answers(paths: VmPaths, host: Host): Promise<AgentConnection> {
    const agent = connect(paths, host);
    try {
      await agent.reach(START_LIMIT_MS);
      return agent;
    } catch (error) {
      agent.close("the agent does not answer");
      throw error;
    }
  }

  async #warm(paths: VmPaths, host: Host): Promise<void> {
    const agent = connect(paths, host);
    const onLie = (why: string) => host.log.error("a template's monitor lies", { error: why });
    const execs = new GuestMonitor({ path: paths.exec, log: host.log, onLie, onSilent: () => agent.watch() });
    try {
      await warmUp(agent, execs);
    } finally {
      agent.close("done");
      execs.close("done");
    }
  }
}

/**
 * With its own `auto` virtiofsd has the guest drop a file's content at each open: an exec would read the whole of its program again, over the port. Its `always`, with what it
 * knows of names and times for a second as in `auto`, keeps the content for as long as a file's time and size stay the same.
 */
function daemonCache({
  cache,
  extraArgs,
}: KataConfig["virtiofsd"]): Pick<SharePlan["binaries"], "cache" | "extraArgs"> {
  return cache === "auto" ? { cache: "always", extraArgs: ["-o", "timeout=1", ...extraArgs] } : { cache, extraArgs };
}

function connect(paths: VmPaths, { log }: Host): AgentConnection {
  return new AgentConnection({ path: paths.agent, log });
}

/** The machine takes over what the pod's network plugin has made. */
function connectNetwork(namespace: string | undefined): NetworkBackend {
  const pod = namespace === undefined ? undefined : readPodNetwork(namespace);
  if (namespace === undefined || pod === undefined) return { kind: "none" };
  connectTap(namespace, pod.link);
  return { kind: "tap", name: TAP_NAME };
}

function undoSteps({ directory, machine, readyMark, ownerMark }: PodPlaces): UndoStep[] {
  const sockets = Object.values(vmPaths(machine)).map((path) => ({ verb: "unlink", path }) as const);
  const log = { verb: "unlink", path: join(machine, "qemu.log") } as const;
  const marks = [readyMark, ownerMark].map((path) => ({ verb: "unlink", path }) as const);
  return [...sockets, log, ...marks, ...shareUndo(shareLayout(directory)), { verb: "rmdir", path: directory }];
}
