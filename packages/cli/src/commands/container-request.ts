import type { CreateContainerRequest } from "@trimaran/manager";
import { parseNetwork } from "../flags/parse-network.ts";
import { type RunFlags, resolveEnv } from "../flags/run-flags.ts";

/** The container that the flags of `run` describe. Throws InvalidArgument for what does not go together. */
export function toCreateRequest(
  flags: RunFlags,
  environment: NodeJS.ProcessEnv,
  source: string,
  args: readonly string[],
): CreateContainerRequest {
  const { hostNetwork, network, ports } = parseNetwork(flags);
  return {
    id: flags.name,
    runtime: flags.runtime,
    source,
    direct: flags.rootfsRw,
    args,
    autoRemove: flags.rm,
    keepOutput: flags.detach,
    network,
    ports,
    transfer: {},
    options: {
      terminal: flags.tty,
      env: resolveEnv(flags.env ?? [], environment),
      mounts: flags.mount,
      memoryLimitBytes: flags.memory,
      cpus: flags.cpus,
      pidsLimit: flags.pidsLimit,
      user: flags.user,
      cwd: flags.cwd,
      hostname: flags.hostname,
      hostNetwork,
      readOnly: flags.readOnly,
      privileged: flags.privileged,
      capAdd: flags.capAdd,
      capDrop: flags.capDrop,
    },
  };
}
