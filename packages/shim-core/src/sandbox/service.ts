import {
  ANY,
  type containerd,
  runtime as cri,
  GO_ZERO_TIME,
  isAnyOf,
  type sandboxV1,
  toTimestamp,
} from "@trimaran/proto";
import { type CallContext, Code, type Implementation, StatusError } from "ttrpc-ts";
import { parseIdentifier } from "../identifier.ts";
import type { Connection } from "../task/service.ts";
import type { PodSandbox, WantedSandbox } from "./pod-sandbox.ts";
import { stopTasks } from "./stop-tasks.ts";

type Context = CallContext<Connection>;

/** CRI's NamespaceMode. */
const NAMESPACE_OF = { pod: 0, node: 2 } as const;

/** Go's names of what Node calls otherwise. */
const ARCHITECTURES: Readonly<Partial<Record<NodeJS.Architecture, string>>> = { x64: "amd64", ia32: "386" };

/**
 * containerd.runtime.sandbox.v1.Sandbox, for runtimes that say so: a pod without a process of its own. Its pid is the monitor's, or that of what the runtime
 * has made for it, its exit status 0. Stop ends the containers that still run, Shutdown takes them away. Source: contract, section 2.12.
 */
export const sandboxService: Implementation<typeof sandboxV1, Connection> = {
  createSandbox({ sandboxId, rootfs, netnsPath, annotations, options }, context) {
    const { pod } = context.data;
    const id = parseIdentifier("sandbox_id", sandboxId);
    if (rootfs.length > 0)
      throw new StatusError(Code.InvalidArgument, "rootfs: a sandbox of this runtime has no process to see it");
    const wanted = { id, networkNamespace: netnsPath, annotations, ...readPodConfig(options) };
    pod.createSandbox(wanted, requestId(context));
    return {};
  },

  async startSandbox({ sandboxId }, context) {
    const { pod } = context.data;
    const { pid, startedAtNs } = await pod.startSandbox(find(sandboxId, context), requestId(context));
    return { pid, createdAt: toTimestamp(startedAtNs) };
  },

  platform({ sandboxId }, context) {
    find(sandboxId, context);
    return { platform: { os: "linux", architecture: ARCHITECTURES[process.arch] ?? process.arch } };
  },

  async stopSandbox({ sandboxId, timeoutSecs }, context) {
    const sandbox = find(sandboxId, context);
    await stopTasks([...context.data.pod.tasks.values()], timeoutSecs * 1000, context.signal);
    await context.data.pod.removeSandbox(sandbox);
    sandbox.stop();
    return {};
  },

  async waitSandbox({ sandboxId }, context) {
    const { state, waiters } = find(sandboxId, context);
    const exitedAtNs = state.state === "stopped" ? state.exitedAtNs : await waiters.wait(context.signal);
    return { exitStatus: 0, exitedAt: toTimestamp(exitedAtNs) };
  },

  sandboxStatus({ sandboxId }, context) {
    const { state } = find(sandboxId, context);
    return {
      sandboxId,
      pid: state.state === "ready" ? state.pid : 0,
      state: state.state === "ready" ? "SANDBOX_READY" : "SANDBOX_NOTREADY",
      createdAt: toTimestamp((state.state === "created" ? undefined : state.startedAtNs) ?? GO_ZERO_TIME),
      exitedAt: toTimestamp(state.state === "stopped" ? state.exitedAtNs : GO_ZERO_TIME),
    };
  },

  pingSandbox({ sandboxId }, context) {
    find(sandboxId, context);
    return {};
  },

  /** Of one that is gone, too: a replay, or a daemon that died before CreateSandbox. */
  async shutdownSandbox(_request, { data: { pod, conn } }) {
    await pod.endSandbox();
    pod.shutdownAfterHangUp(conn);
    return {};
  },

  sandboxMetrics({ sandboxId }, context) {
    find(sandboxId, context);
    throw new StatusError(Code.Unimplemented, "a sandbox of this runtime has no cgroup of its own: not implemented");
  },
};

function find(id: string, { data: { pod } }: Context): PodSandbox {
  if (pod.sandbox?.id === id) return pod.sandbox;
  throw new StatusError(Code.NotFound, `sandbox ${JSON.stringify(id)}: not found`);
}

/** What CRI says of a pod. An empty path of a network namespace may mean the host's, or none: this tells which. Throws WireError on bad bytes. */
function readPodConfig(
  options: containerd.runtime.sandbox.v1.CreateSandboxRequest["options"],
): Pick<WantedSandbox, "hostNetwork" | "pod"> {
  if (!isAnyOf(options, ANY.podSandboxConfig)) return { hostNetwork: false };
  const { hostname, linux } = cri.v1.PodSandboxConfig.decode(options?.value ?? new Uint8Array());
  const { network, pid, ipc, usernsOptions } = linux?.securityContext?.namespaceOptions ?? {};
  return {
    hostNetwork: network === NAMESPACE_OF.node,
    pod: {
      hostname: network === NAMESPACE_OF.node ? "" : hostname,
      hostIpc: ipc === NAMESPACE_OF.node,
      sharesProcesses: (pid ?? NAMESPACE_OF.pod) === NAMESPACE_OF.pod,
      ownUsers: usernsOptions !== undefined && usernsOptions.mode === NAMESPACE_OF.pod,
    },
  };
}

/** Names a request for as long as its monitor lives. */
function requestId({ data, streamId }: Context): string {
  return `${data.conn}:${streamId}`;
}
