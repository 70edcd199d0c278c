import { Cgroup, DevicePrograms, detectCgroups, lazyNative, planCgroup } from "@trimaran/linux";

/** No container's id begins with a dot. The host puts a machine's first container below it: see shim-kata, src/init. */
const FIRST = "/.first";

/**
 * Make the cgroup below which a machine's first container gets its own, by one mkdir of its launch program: with all controllers handed down, and
 * with the program that lets no device but the usual ones pass. Part of a template, so that no start has to wait for it.
 */
export async function makeFirstCgroup(): Promise<void> {
  const native = lazyNative();
  const host = detectCgroups();
  const tools = { native, devicePrograms: new DevicePrograms(native) };
  Cgroup.create(host, planCgroup(host, FIRST, ""), {}, tools, { adopt: true });
  const below = Cgroup.create(host, planCgroup(host, `${FIRST}/0`, ""), {}, tools, { devices: false });
  await below.remove({ keepParents: true });
}
