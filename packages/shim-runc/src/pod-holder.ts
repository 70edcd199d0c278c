import { compilePodHolder, describeFailure, toArchitecture } from "@trimaran/linux";
import type { Host, RunningSandbox, Runtime, SandboxRequest } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import { launchFailed } from "./layout.ts";

const KEY = "pod-namespaces";
const SIGKILL = 9;
const NEVER = new Promise<never>(() => undefined);

/**
 * Pods of the Sandbox API. One that CRI asks for has a process that holds the namespaces which its containers join by its pid, as those of a pause
 * container; for anybody else a sandbox is only the promise that its monitor stays.
 */
export const podHolders: NonNullable<Runtime["sandboxes"]> = {
  async start(request, host): Promise<RunningSandbox> {
    if (request.pod === undefined) return { pid: host.monitorPid, ended: NEVER };
    const program = compileFor(request, request.pod);
    const describe = (step: number, errno: number): Error => launchFailed(describeFailure(program, step, errno));
    const holder = host.launch(KEY, { program: program.bytes, describe });
    try {
      return { pid: await holder.reachedGate(), ended: holder.exited() };
    } catch (error) {
      await holder.exited();
      host.forget(KEY);
      throw error;
    }
  },

  recover(_request, host): RunningSandbox {
    if (!host.has(KEY)) return { pid: host.monitorPid, ended: NEVER };
    const holder = find(host);
    return { pid: holder.pid, ended: holder.exited() };
  },

  async remove(_request, host): Promise<void> {
    if (!host.has(KEY)) return;
    const holder = find(host);
    if (!holder.hasExited) await host.signal(holder, SIGKILL).catch(() => undefined); // it has ended just now
    await holder.exited();
    host.forget(KEY);
  },
};

function compileFor(
  { networkNamespace, hostNetwork = false }: SandboxRequest,
  pod: NonNullable<SandboxRequest["pod"]>,
) {
  if (pod.ownUsers)
    throw new StatusError(
      Code.Unimplemented,
      'linux.security_context.namespace_options.userns_options: only with the sandboxer "podsandbox": not implemented',
    );
  return compilePodHolder(toArchitecture(process.arch), {
    network: hostNetwork ? undefined : networkNamespace,
    hostname: hostNetwork ? undefined : pod.hostname,
    ownIpc: !pod.hostIpc,
    ownProcesses: pod.sharesProcesses,
  });
}

function find(host: Host) {
  return host.find(KEY, { describe: (step, errno) => launchFailed(`step ${step}: errno ${errno}`) });
}
