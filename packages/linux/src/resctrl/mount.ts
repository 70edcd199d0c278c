import { readFileSync } from "node:fs";
import { unescapeOctal } from "../cgroup/host.ts";

/** Where resctrl is mounted; undefined if it is not. `mountinfo` is the text of /proc/self/mountinfo, read if absent. Source: proc(5). */
export function findResctrl(mountinfo = readFileSync("/proc/self/mountinfo", "utf8")): string | undefined {
  for (const line of mountinfo.split("\n")) {
    const [left, right] = line.split(" - ");
    if (right?.startsWith("resctrl ")) return unescapeOctal(left?.split(" ")[4] ?? "");
  }
  return undefined;
}
