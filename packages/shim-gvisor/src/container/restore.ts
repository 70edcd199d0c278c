import { existsSync } from "node:fs";
import { initKey, type MonitoredProcess, type StdioLaunch } from "@trimaran/shim-core";
import { Code, StatusError } from "ttrpc-ts";
import type { RunscCommand } from "../runsc/runsc.ts";
import { commandKey, withRootfs } from "./commands.ts";
import { CONSOLE_SOCKET, launchReceiver, receiveConsole } from "./console.ts";
import { pidFile } from "./create.ts";
import type { Making } from "./making.ts";
import { hideNetworkMarkForNew } from "./network.ts";

/** A container whose Start will restore it: `runsc restore` waits at the gate, and there is no sandbox before. */
export interface Prepared {
  readonly stdio: MonitoredProcess;
  readonly gated: MonitoredProcess;
  readonly command: RunscCommand;
}

/** Prepare the restore of `request.checkpoint`; called again it finds what it has prepared. Throws where there is no checkpoint. */
export async function prepareRestore(
  making: Making,
  stdio: StdioLaunch,
  platform: string | undefined,
): Promise<Prepared> {
  const { layout, host, runsc } = making;
  const { id, checkpoint = "", stdio: wanted } = layout.request;
  if (layout.membership.kind !== "alone")
    throw new StatusError(Code.FailedPrecondition, "checkpoint: runsc restores whole sandboxes, no container of a pod");
  if (!existsSync(`${checkpoint}/checkpoint.img`))
    throw new StatusError(Code.InvalidArgument, `checkpoint: there is no checkpoint.img of runsc in ${checkpoint}`);
  const key = initKey(id);
  const isKnown = host.has(key);
  const receive = isKnown ? launchReceiver : receiveConsole;
  const console = wanted.terminal ? await receive(host, key, stdio, layout.work) : undefined;
  const command = restoreCommand(making, console ? undefined : stdio, platform);
  const gated = runsc.launch(command);
  await gated.reachedGate();
  return { stdio: console ?? gated, gated, command };
}

function restoreCommand(making: Making, stdio: StdioLaunch | undefined, platform: string | undefined): RunscCommand {
  const { layout, machine, cgroup } = making;
  const { id, bundle, checkpoint } = layout.request;
  const rootfs = withRootfs(layout, machine);
  const network = hideNetworkMarkForNew(layout);
  return {
    key: stdio ? initKey(id) : commandKey(id, "restore"),
    name: "restore",
    flags: platform === undefined ? [] : [`--platform=${platform}`],
    args: [
      "restore",
      "--detach",
      `--bundle=${bundle}`,
      `--image-path=${checkpoint}`,
      `--pid-file=${pidFile(layout)}`,
      ...(stdio ? [] : [`--console-socket=${CONSOLE_SOCKET}`]),
      layout.runscId,
    ],
    ...(stdio && { stdio }),
    cgroup,
    setup(builder) {
      rootfs(builder);
      network?.(builder);
    },
    gate: true,
  };
}
