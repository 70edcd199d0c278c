import { CgroupError } from "../cgroup/error.ts";

/** A container's unit: `libpod-web.scope` in `machine-pod.slice`. */
export interface ScopeName {
  readonly unit: string;
  readonly slice: string;
}

const DEFAULT_SLICE = "system.slice";
const DEFAULT_PREFIX = "trimaran";
const MAX_BYTES = 255;
const FIELD = "linux.cgroupsPath";

/** Whether a cgroupsPath has the form that the systemd driver takes. */
export function isScopePath(cgroupsPath: string): boolean {
  return /^[^/:]*:[^/:]*:[^/:]+$/.test(cgroupsPath);
}

/**
 * `SLICE:PREFIX:NAME` as the unit `PREFIX-NAME.scope` of SLICE; without SLICE: system.slice; without PREFIX: `NAME.scope`. Absent or empty:
 * `trimaran-ID.scope`. Throws CgroupError for any other form and for what is no unit's name. Source: runc, docs/systemd.md; systemd.unit(5).
 */
export function parseScopeName(cgroupsPath: string | undefined, id: string): ScopeName {
  const path = cgroupsPath || `:${DEFAULT_PREFIX}:${id}`;
  const fail = (why: string) => new CgroupError(`${FIELD} ${JSON.stringify(path)}`, why);
  if (!isScopePath(path)) throw fail("is not slice:prefix:name, which the systemd cgroup driver needs");
  const [slice, prefix, name = ""] = path.split(":");
  if (name.endsWith(".slice")) throw fail("names a slice, which holds no processes");
  const scope = { unit: `${prefix ? `${prefix}-` : ""}${name}.scope`, slice: slice || DEFAULT_SLICE };
  for (const unit of [scope.unit, scope.slice])
    if (!/^[A-Za-z0-9_.\\-]+$/.test(unit) || unit.length > MAX_BYTES)
      throw fail(`${JSON.stringify(unit)} is no unit's name`);
  if (!isSlice(scope.slice)) throw fail(`${JSON.stringify(scope.slice)} is no slice's name`);
  return scope;
}

/** A slice's cgroup below systemd's own: `/a.slice/a-b.slice` for `a-b.slice`; "" for the root, `-.slice`. Source: systemd.slice(5). */
export function expandSlice(slice: string): string {
  if (slice === "-.slice") return "";
  const parts = slice.slice(0, -".slice".length).split("-");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}

function isSlice(name: string): boolean {
  return name === "-.slice" || /^[^-]+(-[^-]+)*\.slice$/.test(name);
}
