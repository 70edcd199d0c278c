import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Client, credentials } from "@grpc/grpc-js";
import protobuf from "protobufjs";

const LIMIT_MS = 60_000;

/** A pod, as the kubelet describes it; runtime.proto says what there is, and what its numbers mean. */
export interface PodConfig {
  readonly metadata: { readonly name: string; readonly uid: string; readonly namespace: string };
  readonly hostname: string;
  readonly logDirectory: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly linux: {
    readonly cgroupParent: string;
    readonly securityContext: { readonly namespaceOptions: NamespaceOptions; readonly seccomp: SecurityProfile };
  };
}

/** What a pod's containers share. Numbers of NamespaceMode. */
export interface NamespaceOptions {
  readonly network: number;
  readonly pid: number;
  readonly usernsOptions?: {
    readonly mode: number;
    readonly uids: readonly IdMapping[];
    readonly gids: readonly IdMapping[];
  };
}

/** Ids inside, and what they are outside. */
export interface IdMapping {
  readonly hostId: number;
  readonly containerId: number;
  readonly length: number;
}

/** Of SecurityProfile.ProfileType: 0 is the runtime's default, 1 none. */
export interface SecurityProfile {
  readonly profileType: number;
}

/** A container of a pod. */
export interface ContainerConfig {
  readonly metadata: { readonly name: string };
  readonly image: { readonly image: string };
  readonly command: readonly string[];
  readonly mounts: readonly { readonly containerPath: string; readonly hostPath: string }[];
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly linux: {
    readonly resources: ContainerResources;
    readonly securityContext: {
      readonly namespaceOptions: NamespaceOptions;
      readonly runAsUser?: { readonly value: number };
      readonly runAsGroup?: { readonly value: number };
      readonly runAsUsername?: string;
      readonly supplementalGroups: readonly number[];
      readonly seccomp: SecurityProfile;
    };
  };
}

/** Of LinuxContainerResources. */
export interface ContainerResources {
  readonly memoryLimitInBytes?: number;
}

interface Stats {
  readonly cpu?: { readonly usageCoreNanoSeconds?: { readonly value: number } };
  readonly memory?: { readonly workingSetBytes?: { readonly value: number } };
}

interface Streams {
  readonly containerId: string;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** What a container has come to. */
export interface ContainerStatus {
  readonly state: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
}

/** What a command in a container has said. */
export interface ExecAnswer {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly exitCode: number;
}

interface Calls {
  RunPodSandbox: [{ config: PodConfig; runtimeHandler: string }, { podSandboxId: string }];
  StopPodSandbox: [{ podSandboxId: string }, object];
  RemovePodSandbox: [{ podSandboxId: string }, object];
  PodSandboxStatus: [{ podSandboxId: string }, { status: { state: number; network?: { ip: string } } }];
  CreateContainer: [
    { podSandboxId: string; config: ContainerConfig; sandboxConfig: PodConfig },
    { containerId: string },
  ];
  StartContainer: [{ containerId: string }, object];
  StopContainer: [{ containerId: string; timeout: number }, object];
  RemoveContainer: [{ containerId: string }, object];
  ContainerStatus: [{ containerId: string }, { status: ContainerStatus }];
  ContainerStats: [{ containerId: string }, { stats: Stats }];
  PodSandboxStats: [{ podSandboxId: string }, { stats: { linux?: Stats & { readonly containers: readonly Stats[] } } }];
  UpdateContainerResources: [{ containerId: string; linux: ContainerResources }, object];
  ReopenContainerLog: [{ containerId: string }, object];
  Exec: [Streams & { cmd: readonly string[] }, { url: string }];
  Attach: [Streams, { url: string }];
  PortForward: [{ podSandboxId: string; port: readonly number[] }, { url: string }];
  Status: [
    { verbose: boolean },
    { runtimeHandlers: readonly { readonly name: string; readonly features?: { readonly userNamespaces: boolean } }[] },
  ];
  ExecSync: [{ containerId: string; cmd: readonly string[]; timeout: number }, ExecAnswer];
  ImageStatus: [{ image: { image: string } }, { image?: { id: string } }];
}

/** The kubelet's place at a containerd. Dispose it to close the connection. */
export class CriClient implements Disposable {
  readonly #client: Client;
  readonly #methods: ReadonlyMap<string, Method>;

  /** `socket`: containerd's. */
  constructor(socket: string) {
    this.#client = new Client(`unix:${socket}`, credentials.createInsecure());
    this.#methods = readMethods(join(import.meta.dirname, "runtime.proto"));
  }

  /** One call. Rejects with gRPC's error: `code`, and `details` in containerd's words. */
  call<Name extends keyof Calls>(name: Name, request: Calls[Name][0]): Promise<Calls[Name][1]> {
    const method = this.#methods.get(name);
    if (method === undefined) throw new Error(`runtime.proto has no ${name}`);
    const { path, input, output } = method;
    const encode = (message: object) => Buffer.from(input.encode(input.fromObject(message)).finish());
    // the proto says so: `Calls` is what stands there
    const decode = (bytes: Buffer) => output.toObject(output.decode(bytes), { defaults: true }) as Calls[Name][1];
    const deadline = Date.now() + LIMIT_MS;
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, encode, decode, request, { deadline }, (error, answer) => {
        if (error === null && answer !== undefined) resolve(answer);
        else reject(error);
      });
    });
  }

  /** Wait until CRI serves, which is some time after containerd does. Rejects with its last refusal. */
  async ready(): Promise<void> {
    const until = Date.now() + LIMIT_MS;
    for (;;) {
      try {
        await this.call("ImageStatus", { image: { image: "none" } });
        return;
      } catch (error) {
        if (Date.now() > until) throw error;
        await delay(50);
      }
    }
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

interface Method {
  readonly path: string;
  readonly input: protobuf.Type;
  readonly output: protobuf.Type;
}

function readMethods(file: string): ReadonlyMap<string, Method> {
  const { root } = protobuf.parse(readFileSync(file, "utf8"));
  const services = root.lookup("runtime.v1", [protobuf.Namespace]);
  const found = new Map<string, Method>();
  for (const service of services instanceof protobuf.Namespace ? services.nestedArray : []) {
    if (!(service instanceof protobuf.Service)) continue;
    for (const { name, requestType, responseType } of service.methodsArray) {
      const [input, output] = [service.lookupType(requestType), service.lookupType(responseType)];
      found.set(name, { path: `/runtime.v1.${service.name}/${name}`, input, output });
    }
  }
  return found;
}
