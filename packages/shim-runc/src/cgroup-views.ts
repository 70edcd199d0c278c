import { basename } from "node:path";
import type { CgroupHost, CgroupPlan, CgroupView } from "@trimaran/linux";

/** What a mount of type `cgroup` shows: the container's own directory of each hierarchy, under the host's names for them. */
export function cgroupViews(host: CgroupHost, plan: CgroupPlan): CgroupView[] {
  const unified = plan.unified;
  if (host.mode === "v2") return unified === undefined ? [] : [{ name: "", path: unified }];
  const views = plan.hierarchies.map(({ mountPoint, directory, controllers }) => {
    const name = basename(mountPoint);
    const links = controllers.filter((controller) => controller !== name && !controller.includes("="));
    return { name, path: directory, links };
  });
  return unified === undefined ? views : [...views, { name: "unified", path: unified }];
}
