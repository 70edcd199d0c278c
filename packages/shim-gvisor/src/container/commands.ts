import { rmSync } from "node:fs";
import { mountPrivately, type ProgramBuilder } from "@trimaran/linux";
import { initKey } from "@trimaran/shim-core";
import type { Machine } from "../machine.ts";
import type { RunscCommand } from "../runsc/runsc.ts";
import { hasState, type Layout, removeState } from "./layout.ts";
import type { Making } from "./making.ts";

/** The monitor's key of a container's command; with an empty name, what the keys of all of them begin with. */
export function commandKey(id: string, name: string): string {
  return `${initKey(id)}/${name}`;
}

/** Let a sandbox's program run. */
export function startCommand({ request: { id }, runscId }: Layout): RunscCommand {
  return { key: commandKey(id, "start"), name: "start", args: ["start", runscId] };
}

/** The same of a member. Its gofer is started by `runsc start`, which therefore has to see the rootfs, and runs in the member's cgroup. */
export function startMemberCommand({ layout, machine, cgroup }: Making): RunscCommand {
  return { ...startCommand(layout), cgroup, setup: withRootfs(layout, machine) };
}

/** Wait for a member's exit. */
export function waitCommand({ request: { id }, runscId }: Layout): RunscCommand {
  return { key: commandKey(id, "wait"), name: "wait", args: ["wait", runscId] };
}

/** Steps that give a command the rootfs, where a gofer or runsc itself looks for it. */
export function withRootfs({ request, spec }: Layout, machine: Machine): (builder: ProgramBuilder) => void {
  return (builder) => {
    if (request.rootfs.length === 0) return; // root.path is a directory of the host
    const plan = {
      rootfs: request.rootfs,
      bundle: request.bundle,
      host: machine.features,
      spec: { root: { path: spec.rootPath }, linux: { rootfsPropagation: undefined } },
    };
    mountPrivately(builder, plan, `${request.bundle}/rootfs`);
  };
}

/**
 * Take away what runsc keeps of a container whose sandbox has ended. As a rule that is files only, and done without a start of runsc, which takes
 * longer than all the rest of Delete.
 */
export async function forgetState(making: Making): Promise<void> {
  const { layout } = making;
  const isPlain = layout.membership.kind === "alone" && !layout.spec.hasPoststopHooks;
  if (!isPlain || layout.request.rootfs.length === 0 || layout.config.flags.has("metric-server")) {
    await deleteState(making);
    return;
  }
  removeState(layout);
  rmSync(layout.work, { recursive: true, force: true });
}

/** Make runsc forget a container that has ended, or end it. Whatever runsc says, its files are gone after this. */
export async function deleteState({ runsc, layout, host, machine }: Making): Promise<void> {
  const { id } = layout.request;
  // newer runscs keep a file in the rootfs, and want to remove it there
  const setup = withRootfs(layout, machine);
  const command = { key: commandKey(id, "delete"), name: "delete", args: ["delete", "--force", layout.runscId], setup };
  try {
    if (hasState(layout)) await runsc.run(command); // else runsc might take another container for this one
  } catch (error) {
    host.log.warning("runsc delete failed, its state is removed", { id, error });
  }
  removeState(layout);
  rmSync(layout.work, { recursive: true, force: true });
}
