import { stopScope } from "@trimaran/linux";
import { type Host, initKey } from "@trimaran/shim-core";
import { endHolder } from "./held-scope.ts";
import { type Layout, launchFailed } from "./layout.ts";

/** The monitor's key of the process that holds a container's scope until init is in it. */
export function holderKey(id: string): string {
  return `${initKey(id)}/scope`;
}

/** Let the holder go that this or an earlier task server has started, if there is one. */
export async function endScopeHolder(host: Host, id: string): Promise<void> {
  const key = holderKey(id);
  if (!host.has(key)) return;
  await endHolder(host.find(key, { describe: (step, errno) => launchFailed(`step ${step}: errno ${errno}`) }));
  host.forget(key);
}

/** The end of a container's scope; nothing, if it has none. A systemd that does not answer is only told: an empty scope ends by itself. */
export async function leaveScope({ request, cgroupPlan }: Layout, host: Host): Promise<void> {
  if (cgroupPlan.scope === undefined) return;
  await endScopeHolder(host, request.id);
  await stopScope(cgroupPlan).catch((error: unknown) =>
    host.log.warning("scope not stopped", { id: request.id, error: String(error) }),
  );
}
