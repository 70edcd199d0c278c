import assert from "node:assert/strict";
import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../containerd.ts";
import { IMAGE } from "../images.ts";
import type {
  ContainerResources,
  ContainerStatus,
  CriClient,
  ExecAnswer,
  NamespaceOptions,
  PodConfig,
} from "./client.ts";
import { ForwardedPort, RemoteProcess } from "./streams.ts";

/** Of NamespaceMode. */
const NAMESPACE = { pod: 0, container: 1, node: 2 } as const;
/** Of ProfileType. */
const SECCOMP = { runtimeDefault: 0, unconfined: 1 } as const;
/** Of ContainerState. */
export const STATE = { created: 0, running: 1, exited: 2 } as const;

/** What a pod is to be like. */
export interface PodOptions {
  /** A name of `EngineOptions.runtimes`. */
  readonly handler: string;
  /** Default: one of the pod's own. */
  readonly network?: "pod" | "node";
  /** Whether its containers see each other's processes. Default: they don't. */
  readonly sharesProcesses?: boolean;
  /** The first host id of a user namespace of its own, for 65,536 ids. Default: it has the host's. */
  readonly firstHostId?: number;
  /** Where its cgroups go, as the engine's cgroup driver wants it: a path or a slice. Default: a path that clean-up and leak checks find. */
  readonly cgroupParent?: string;
  /** As the kubelet's API server would give. Default: a new one. */
  readonly uid?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What a container of a pod is to be like. */
export interface PodContainerOptions {
  readonly memoryLimitBytes?: number;
  /** Default: busybox as root. */
  readonly image?: string;
  /** Instead of the image's user. */
  readonly user?: number | string;
  readonly group?: number;
  /** Besides the image's. */
  readonly groups?: readonly number[];
  /** Default: unconfined, as the kubelet has it. */
  readonly seccomp?: keyof typeof SECCOMP;
  /** Stdin stays open for who attaches; `once`: until the first goes. */
  readonly stdin?: "open" | "once";
  readonly terminal?: boolean;
  /** Folders of the host, by their place inside. */
  readonly mounts?: Readonly<Record<string, string>>;
}

/** A pod that CRI has made; disposing stops and removes it with its containers. */
export class Pod implements AsyncDisposable {
  readonly id: string;
  readonly uid: string;
  /** Ids that CRI gave out for this pod: its own, and its containers'. */
  readonly ids: string[];
  readonly #cri: CriClient;
  readonly #config: PodConfig;

  private constructor(cri: CriClient, config: PodConfig, id: string) {
    this.id = id;
    this.ids = [id];
    this.#cri = cri;
    this.#config = config;
    this.uid = config.metadata.uid;
  }

  /** RunPodSandbox. Rejects with containerd's words. */
  static async run(cri: CriClient, engine: Engine, options: PodOptions): Promise<Pod> {
    const { handler, network = "pod", annotations = {}, uid = engine.newId() } = options;
    const { cgroupParent = `/${engine.tag}` } = options;
    const config: PodConfig = {
      metadata: { name: "pod", uid, namespace: "default" },
      hostname: network === "node" ? "" : "trimaran-pod", // the host's; as the kubelet has it
      logDirectory: join(engine.dir, "pods", `default_pod_${uid}`), // as the kubelet names it
      annotations,
      linux: {
        cgroupParent,
        securityContext: {
          namespaceOptions: toNamespaceOptions(options),
          seccomp: { profileType: SECCOMP.unconfined },
        },
      },
    };
    const { podSandboxId } = await cri.call("RunPodSandbox", { config, runtimeHandler: handler });
    return new Pod(cri, config, podSandboxId);
  }

  /** CreateContainer and StartContainer. */
  async start(name: string, command: readonly string[], options: PodContainerOptions = {}): Promise<PodContainer> {
    const { memoryLimitBytes, mounts = {}, image = IMAGE, stdin, terminal = false } = options;
    const { containerId } = await this.#cri.call("CreateContainer", {
      podSandboxId: this.id,
      sandboxConfig: this.#config,
      config: {
        metadata: { name },
        image: { image },
        command,
        mounts: Object.entries(mounts).map(([containerPath, hostPath]) => ({ containerPath, hostPath })),
        logPath: `${name}.log`,
        ...{ stdin: stdin !== undefined, stdinOnce: stdin === "once", tty: terminal },
        linux: {
          resources: memoryLimitBytes === undefined ? {} : { memoryLimitInBytes: memoryLimitBytes },
          securityContext: {
            namespaceOptions: this.#config.linux.securityContext.namespaceOptions,
            ...toUser(options),
            supplementalGroups: options.groups ?? [],
            seccomp: { profileType: SECCOMP[options.seccomp ?? "unconfined"] },
          },
        },
      },
    });
    this.ids.push(containerId);
    await this.#cri.call("StartContainer", { containerId });
    return new PodContainer(this.#cri, containerId, join(this.#config.logDirectory, `${name}.log`));
  }

  /** The address of its network; "" in the host's. */
  async address(): Promise<string> {
    const { status } = await this.#cri.call("PodSandboxStatus", { podSandboxId: this.id });
    return status.network?.ip ?? "";
  }

  /** PortForward: a connection to a port of the pod's. Dispose it. */
  async forward(port: number): Promise<ForwardedPort> {
    const { url } = await this.#cri.call("PortForward", { podSandboxId: this.id, port: [port] });
    return await ForwardedPort.open(url, port);
  }

  /** What PodSandboxStats tells: bytes of the pod's memory, and of how many containers it tells. */
  async stats(): Promise<{ readonly memoryBytes: number; readonly containers: number }> {
    const { stats } = await this.#cri.call("PodSandboxStats", { podSandboxId: this.id });
    const { memory, containers = [] } = stats.linux ?? {};
    return { memoryBytes: Number(memory?.workingSetBytes?.value ?? 0), containers: containers.length };
  }

  /** StopPodSandbox: all its containers end. */
  async stop(): Promise<void> {
    await this.#cri.call("StopPodSandbox", { podSandboxId: this.id });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#cri.call("RemovePodSandbox", { podSandboxId: this.id });
  }
}

function toNamespaceOptions({ network = "pod", sharesProcesses = false, firstHostId }: PodOptions): NamespaceOptions {
  const ids = firstHostId === undefined ? [] : [{ hostId: firstHostId, containerId: 0, length: 65_536 }];
  return {
    network: NAMESPACE[network],
    pid: sharesProcesses ? NAMESPACE.pod : NAMESPACE.container,
    ...(firstHostId !== undefined && { usernsOptions: { mode: NAMESPACE.pod, uids: ids, gids: ids } }),
  };
}

function toUser({ user, group }: PodContainerOptions) {
  return {
    ...(typeof user === "number" && { runAsUser: { value: user } }),
    ...(typeof user === "string" && { runAsUsername: user }),
    ...(group !== undefined && { runAsGroup: { value: group } }),
  };
}

/** A container of a pod. */
export class PodContainer {
  readonly id: string;
  readonly #cri: CriClient;
  readonly #logPath: string;

  constructor(cri: CriClient, id: string, logPath: string) {
    this.#cri = cri;
    this.id = id;
    this.#logPath = logPath;
  }

  async status(): Promise<ContainerStatus> {
    return (await this.#cri.call("ContainerStatus", { containerId: this.id })).status;
  }

  /** Wait until CRI calls it exited. CRI has no call that waits. */
  async exited(timeoutMs = 15_000): Promise<ContainerStatus> {
    const until = Date.now() + timeoutMs;
    for (;;) {
      const status = await this.status();
      if (status.state === STATE.exited) return status;
      if (Date.now() > until) assert.fail(`${this.id}: state ${status.state} after ${timeoutMs} ms`);
      await delay(30);
    }
  }

  /** ExecSync; the limit is in seconds. */
  exec(command: readonly string[], timeoutS = 20): Promise<ExecAnswer> {
    return this.#cri.call("ExecSync", { containerId: this.id, cmd: command, timeout: timeoutS });
  }

  /** Exec: a command with its streams connected. Dispose what it gives. */
  async open(command: readonly string[], { stdin = false, terminal = false } = {}): Promise<RemoteProcess> {
    const streams = { stdin, stdout: true, stderr: !terminal, tty: terminal };
    const { url } = await this.#cri.call("Exec", { containerId: this.id, cmd: command, ...streams });
    return await RemoteProcess.open(url);
  }

  /** Attach: the container's own streams, from now on. `terminal`: as the container has it. */
  async attach({ stdin = false, terminal = false } = {}): Promise<RemoteProcess> {
    const streams = { stdin, stdout: true, stderr: !terminal, tty: terminal };
    const { url } = await this.#cri.call("Attach", { containerId: this.id, ...streams });
    return await RemoteProcess.open(url);
  }

  /** What ContainerStats tells: bytes of memory, and the processor time in ns. */
  async stats(): Promise<{ readonly memoryBytes: number; readonly cpuNs: number }> {
    const { stats } = await this.#cri.call("ContainerStats", { containerId: this.id });
    const { memory, cpu } = stats;
    return {
      memoryBytes: Number(memory?.workingSetBytes?.value ?? 0),
      cpuNs: Number(cpu?.usageCoreNanoSeconds?.value ?? 0),
    };
  }

  /** UpdateContainerResources. */
  async update(resources: ContainerResources): Promise<void> {
    await this.#cri.call("UpdateContainerResources", { containerId: this.id, linux: resources });
  }

  /** Rotate the log as the kubelet does: it is moved away, and begun anew. Gives the old one's path. */
  async rotateLog(): Promise<string> {
    const old = `${this.#logPath}.1`;
    await rename(this.#logPath, old);
    await this.#cri.call("ReopenContainerLog", { containerId: this.id });
    return old;
  }

  /** StopContainer: SIGTERM, and SIGKILL after that many seconds. */
  async stop(graceS: number): Promise<void> {
    await this.#cri.call("StopContainer", { containerId: this.id, timeout: graceS });
  }

  async remove(): Promise<void> {
    await this.#cri.call("RemoveContainer", { containerId: this.id });
  }

  /** What it has written, by stream: CRI's log has `TIME STREAM TAG TEXT` in each line. */
  async log(stream: "stdout" | "stderr" = "stdout", path = this.#logPath): Promise<string[]> {
    const lines = (await readFile(path, "utf8")).split("\n").map((line) => line.split(" "));
    return lines.flatMap(([, of, , ...text]) => (of === stream ? [text.join(" ")] : []));
  }
}
