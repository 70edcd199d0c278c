import type { ProcessCgroupView, ProcessView } from "@trimaran/linux";
import type { ContainerTarget, LayerLine } from "./request.ts";

/** Everything that a running container is, on one page: what it shares, what limits it, what it sees and what it may. */
export function formatContainer(target: ContainerTarget, view: ProcessView): string {
  const { id, runtime, image, layers } = target;
  return [
    `${id}: ${image === "" ? "no image" : image}, ${runtime}`,
    ...(/trimaran-(gvisor|kata)|runsc|kata/.test(runtime)
      ? ["the process here stands for it on the host; what its own processes see, a kernel of its own decides"]
      : []),
    `pid ${view.pid} on the host, ${view.pidsInside.at(-1)} in its own namespace; uid ${view.uid}, gid ${view.gid}`,
    ...section(
      "NAMESPACES",
      view.namespaces.map((each) => [each.kind, relationOf(each, target), `${each.inode}`]),
    ),
    ...section("CGROUP", view.cgroups.flatMap(cgroupRows)),
    ...section(
      "MOUNTS",
      view.mounts.map(({ target: at, type, source, options }) => [at, type, `${source} (${options.join(",")})`]),
    ),
    ...section(
      "CAPABILITIES",
      Object.entries(view.capabilities).map(([set, names]) => [set, shortList(names)]),
    ),
    ...section("SECCOMP", [
      ["mode", view.seccomp.mode === "filter" ? `${view.seccomp.filters} filter(s)` : view.seccomp.mode],
      ["no new privileges", view.noNewPrivileges ? "yes" : "no"],
    ]),
    ...section(
      "LAYERS",
      layers.map((layer, i) => layerRow(layer, i)),
    ),
    "",
  ].join("\n");
}

function relationOf(namespace: ProcessView["namespaces"][number], { sandbox }: ContainerTarget): string {
  const { relation, with: others } = namespace;
  if (relation !== "shared") return relation === "host" ? "the host's" : "its own";
  const pod = sandbox !== "" && others.includes(sandbox) ? "the pod's, " : "";
  return `${pod}shared with ${others.join(", ")}`;
}

function cgroupRows({ hierarchy, directory, limits, usage }: ProcessCgroupView): string[][] {
  const lines = (kind: string, files: Readonly<Record<string, string>>) =>
    Object.entries(files).map(([file, text]) => ["", kind, `${file} ${text.split("\n")[0]}`]);
  return [[hierarchy, "at", directory], ...lines("limit", limits), ...lines("use", usage)];
}

function shortList(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.map((name) => name.replace(/^CAP_/, "").toLowerCase()).join(" ");
}

function layerRow({ directory, sizeBytes }: LayerLine, index: number): string[] {
  const size = sizeBytes === undefined ? "" : `${(sizeBytes / 2 ** 20).toFixed(1)} MiB`;
  return [index === 0 ? "0, its own" : String(index), directory, size];
}

/** A heading, and rows with their columns under each other; the last one has no bound. */
function section(heading: string, rows: readonly (readonly string[])[]): string[] {
  const widths = [0, 1].map((column) =>
    Math.max(0, ...rows.map((row) => (row.length > column + 1 ? (row[column] ?? "").length : 0))),
  );
  const lines = rows.map((row) =>
    row.map((cell, i) => (i < row.length - 1 ? cell.padEnd(widths[i] ?? 0) : cell)).join("  "),
  );
  return ["", heading, ...(lines.length === 0 ? ["  none"] : lines.map((line) => `  ${line}`.trimEnd()))];
}
