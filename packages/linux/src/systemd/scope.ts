import type { Cgroup } from "../cgroup/cgroup.ts";
import { CgroupError } from "../cgroup/error.ts";
import { readIfPresent } from "../cgroup/files.ts";
import type { CgroupHost } from "../cgroup/host.ts";
import type { CgroupPlan } from "../cgroup/plan.ts";
import { listProcesses } from "../cgroup/processes.ts";
import type { LinuxResources } from "../cgroup/resources.ts";
import { DBusError } from "../dbus/dbus-error.ts";
import { Systemd, type SystemdSockets } from "./manager.ts";
import { type ScopeStart, scopeProperties, updateProperties } from "./scope-properties.ts";
import type { ScopeName } from "./unit-name.ts";

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;
const NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists";

/**
 * Let systemd make the scope of a plan, with a process in it. Limits that it knows are in force when this returns; `Cgroup.create` writes
 * the rest. Again with the same process is success. Throws CgroupError: at the latest after 30 s.
 */
export async function startScope(
  host: CgroupHost,
  plan: CgroupPlan,
  start: ScopeStart,
  sockets?: SystemdSockets,
): Promise<void> {
  const scope = scopeOf(plan);
  const properties = scopeProperties(host.mode, scope, start);
  await withSystemd(scope, "cannot be started", START_LIMIT_MS, sockets, async (systemd) => {
    try {
      await systemd.startTransientUnit(scope.unit, properties);
    } catch (error) {
      if (codeOf(error) !== UNIT_EXISTS) throw error;
      if (holds(plan, start.pid)) return; // a replay: an earlier task server has started it
      if (listProcesses(systemdDirectory(plan)).length > 0) throw error; // somebody else's
      await forget(systemd, scope.unit);
      await systemd.startTransientUnit(scope.unit, properties);
    }
  });
  if (!holds(plan, start.pid))
    throw new CgroupError(
      field(scope),
      `systemd has put process ${start.pid} elsewhere than into ${systemdDirectory(plan)}`,
    );
}

/** Change limits of a running scope: systemd's first, because it writes all of a controller's files; then ours, which are exact. Throws CgroupError. */
export async function updateScope(
  host: CgroupHost,
  cgroup: Cgroup,
  resources: LinuxResources,
  sockets?: SystemdSockets,
): Promise<void> {
  const { plan } = cgroup;
  const scope = scopeOf(plan);
  const properties = updateProperties(host.mode, resources, (file) => readIfPresent(`${plan.unified}/${file}`));
  // On v1 systemd denies all devices for a moment when it changes them: nobody may be running then.
  const standStill = host.mode !== "v2" && resources.devices !== undefined && !cgroup.isFrozen();
  if (standStill) await cgroup.freeze();
  try {
    await withSystemd(scope, "cannot be changed", STOP_LIMIT_MS, sockets, (systemd) =>
      systemd.setUnitProperties(scope.unit, properties),
    );
    cgroup.update(resources);
  } finally {
    if (standStill) cgroup.thaw();
  }
}

/** Let systemd end what is left of the scope, and forget it. Gone already is success. Throws CgroupError: at the latest after 10 s. */
export async function stopScope(plan: CgroupPlan, sockets?: SystemdSockets): Promise<void> {
  const scope = scopeOf(plan);
  await withSystemd(scope, "cannot be stopped", STOP_LIMIT_MS, sockets, async (systemd) => {
    await ignoring(NO_SUCH_UNIT, systemd.stopUnit(scope.unit));
  });
}

/** What is left of an empty scope: one that is being stopped, or that has failed and keeps its name. */
async function forget(systemd: Systemd, unit: string): Promise<void> {
  await ignoring(NO_SUCH_UNIT, systemd.stopUnit(unit));
  await ignoring(NO_SUCH_UNIT, systemd.resetFailedUnit(unit));
}

async function ignoring(code: string, done: Promise<void>): Promise<void> {
  try {
    await done;
  } catch (error) {
    if (codeOf(error) !== code) throw error;
  }
}

async function withSystemd(
  scope: ScopeName,
  why: string,
  limitMs: number,
  sockets: SystemdSockets | undefined,
  use: (systemd: Systemd) => Promise<void>,
): Promise<void> {
  try {
    using systemd = await Systemd.open(AbortSignal.timeout(limitMs), sockets);
    await use(systemd);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new CgroupError(field(scope), `${why}: ${message}`);
  }
}

function scopeOf({ scope, path }: CgroupPlan): ScopeName {
  if (scope === undefined)
    throw new CgroupError(`linux.cgroupsPath ${JSON.stringify(path)}`, "is no scope of systemd's");
  return scope;
}

function field({ unit }: ScopeName): string {
  return `linux.cgroupsPath: unit ${unit}`;
}

function holds(plan: CgroupPlan, pid: number): boolean {
  return listProcesses(systemdDirectory(plan)).includes(pid);
}

/** The scope's directory in the hierarchy in which systemd keeps its processes. */
function systemdDirectory({ unified, hierarchies }: CgroupPlan): string {
  const named = hierarchies.find(({ controllers }) => controllers.includes("name=systemd"));
  return named?.directory ?? unified ?? "";
}

function codeOf(error: unknown): string | undefined {
  return error instanceof DBusError ? error.code : undefined;
}
