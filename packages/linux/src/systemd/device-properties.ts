import { type DeviceException, type DeviceSet, formatAccess } from "../cgroup/device-set.ts";
import { variant } from "../dbus/value.ts";
import type { Property } from "./manager.ts";

/**
 * A device set for systemd on cgroup v1, where it would allow everything whenever it writes. Everything of the set is allowed, and more
 * where systemd has no words for it (one minor of any major): our own writes are exact. A set that allows by default is none of systemd's.
 * On v2 systemd is told nothing: it attaches no program then, and leaves ours alone. Source: systemd.resource-control(5), DeviceAllow=.
 */
export function deviceProperties(set: DeviceSet): Property[] {
  if (set.defaultAllow)
    return [
      ["DevicePolicy", variant("s", "auto")],
      ["DeviceAllow", variant("a(ss)", [])],
    ];
  const allowed = set.exceptions.map((exception) => [toName(exception), formatAccess(exception.access)]);
  return [
    ["DevicePolicy", variant("s", "strict")],
    ["DeviceAllow", variant("a(ss)", [])], // an update adds to the list; an empty one clears it
    ["DeviceAllow", variant("a(ss)", allowed)],
  ];
}

function toName({ type, major, minor }: DeviceException): string {
  const kind = type === "b" ? "block" : "char";
  if (major === -1) return `${kind}-*`;
  return minor === -1 ? `${kind}-${major}` : `/dev/${kind}/${major}:${minor}`;
}
