import { type CgroupPlan, stopScope } from "@trimaran/linux";
import type { Context } from "./context.ts";

/** The end of a cgroup's scope; nothing, if it has none. A systemd that does not answer is only told: an empty scope ends by itself. */
export async function leaveScope({ warn }: Context, plan: CgroupPlan): Promise<void> {
  if (plan.scope !== undefined) await stopScope(plan).catch((error: unknown) => warn(String(error)));
}
