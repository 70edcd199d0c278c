import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { Engine } from "../containerd.ts";
import { IMAGE } from "../images.ts";
import type { ContainerStatus, CriClient, ExecAnswer, PodConfig } from "./client.ts";

/** Of NamespaceMode: a network of the pod's own, and the host's. */
export const NETWORK = { pod: 0, node: 2 } as const;
/** Of ContainerState. */
export const STATE = { created: 0, running: 1, exited: 2 } as const;

/** What a pod is to be like. */
export interface PodOptions {
  /** A name of `EngineOptions.runtimes`. */
  readonly handler: string;
  readonly network?: keyof typeof NETWORK;
  /** As the kubelet's API server would give. Default: a new one. */
  readonly uid?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** What a container of a pod is to be like. */
export interface PodContainerOptions {
  readonly memoryLimitBytes?: number;
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
  static async run(
    cri: CriClient,
    engine: Engine,
    { handler, network = "pod", annotations = {}, uid = engine.newId() }: PodOptions,
  ): Promise<Pod> {
    const config: PodConfig = {
      metadata: { name: "pod", uid, namespace: "default" },
      hostname: network === "node" ? "" : "trimaran-pod", // the host's; as the kubelet has it
      logDirectory: join(engine.dir, "pods", `default_pod_${uid}`), // as the kubelet names it
      annotations,
      linux: {
        cgroupParent: `/${engine.tag}`, // so that clean-up and leak checks find the pod's cgroups
        securityContext: { namespaceOptions: { network: NETWORK[network] } },
      },
    };
    const { podSandboxId } = await cri.call("RunPodSandbox", { config, runtimeHandler: handler });
    return new Pod(cri, config, podSandboxId);
  }

  /** CreateContainer and StartContainer. */
  async start(name: string, command: readonly string[], options: PodContainerOptions = {}): Promise<PodContainer> {
    const { memoryLimitBytes, mounts = {} } = options;
    const { containerId } = await this.#cri.call("CreateContainer", {
      podSandboxId: this.id,
      sandboxConfig: this.#config,
      config: {
        metadata: { name },
        image: { image: IMAGE },
        command,
        mounts: Object.entries(mounts).map(([containerPath, hostPath]) => ({ containerPath, hostPath })),
        logPath: `${name}.log`,
        linux: { resources: memoryLimitBytes === undefined ? {} : { memoryLimitInBytes: memoryLimitBytes } },
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

  /** StopPodSandbox: all its containers end. */
  async stop(): Promise<void> {
    await this.#cri.call("StopPodSandbox", { podSandboxId: this.id });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#cri.call("RemovePodSandbox", { podSandboxId: this.id });
  }
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

  /** Bytes of memory that ContainerStats tells. */
  async memoryBytes(): Promise<number> {
    const { stats } = await this.#cri.call("ContainerStats", { containerId: this.id });
    return Number(stats.memory?.workingSetBytes?.value ?? 0);
  }

  /** StopContainer: SIGTERM, and SIGKILL after that many seconds. */
  async stop(graceS: number): Promise<void> {
    await this.#cri.call("StopContainer", { containerId: this.id, timeout: graceS });
  }

  async remove(): Promise<void> {
    await this.#cri.call("RemoveContainer", { containerId: this.id });
  }

  /** What it has written, by stream: CRI's log has `TIME STREAM TAG TEXT` in each line. */
  async log(stream: "stdout" | "stderr" = "stdout"): Promise<string[]> {
    const lines = (await readFile(this.#logPath, "utf8")).split("\n").map((line) => line.split(" "));
    return lines.flatMap(([, of, , ...text]) => (of === stream ? [text.join(" ")] : []));
  }
}
