import { ALWAYS_ALLOWED, reduceDeviceRules } from "../cgroup/device-set.ts";
import type { CgroupMode } from "../cgroup/host.ts";
import type { LinuxResources } from "../cgroup/resources.ts";
import { variant } from "../dbus/value.ts";
import { deviceProperties } from "./device-properties.ts";
import type { Property } from "./manager.ts";
import { resourceProperties } from "./resource-properties.ts";
import { annotationProperties } from "./unit-annotations.ts";
import type { ScopeName } from "./unit-name.ts";

/** A container's scope to be started. */
export interface ScopeStart {
  /** The container's id, for people. */
  readonly id: string;
  /** A process that is in it from the start: there is no scope without one. */
  readonly pid: number;
  readonly resources: LinuxResources;
  /** Restrict devices. */
  readonly devices: boolean;
  readonly annotations: ReadonlyMap<string, string>;
}

/** Everything that systemd is told of a scope when it starts it. Throws CgroupError and InvalidSpec naming the field. */
export function scopeProperties(mode: CgroupMode, { slice }: ScopeName, start: ScopeStart): Property[] {
  const accounting = ["Memory", "CPU", "Tasks", mode === "v2" ? "IO" : "BlockIO"];
  return [
    ["Description", variant("s", `trimaran container ${start.id}`)],
    ["Slice", variant("s", slice)],
    ["PIDs", variant("au", [start.pid])],
    ["Delegate", variant("b", true)], // the cgroup and what is below it is ours to write
    ["DefaultDependencies", variant("b", false)], // a container's end is its engine's business, also at shutdown
    ["CollectMode", variant("s", "inactive-or-failed")], // nobody reads a failed one's state; its name must be free
    ...accounting.map((name): Property => [`${name}Accounting`, variant("b", true)]),
    ...resourceProperties(mode, start.resources, () => undefined),
    ...(start.devices && mode !== "v2" ? effectiveDevices(start.resources) : []),
    ...annotationProperties(start.annotations),
  ];
}

/** What an update has to tell systemd. */
export function updateProperties(
  mode: CgroupMode,
  resources: LinuxResources,
  current: (file: string) => string | undefined,
): Property[] {
  const devices = mode !== "v2" && resources.devices !== undefined ? effectiveDevices(resources) : [];
  return [...resourceProperties(mode, resources, current), ...devices];
}

function effectiveDevices(resources: LinuxResources): Property[] {
  return deviceProperties(reduceDeviceRules([...(resources.devices ?? []), ...ALWAYS_ALLOWED]));
}
